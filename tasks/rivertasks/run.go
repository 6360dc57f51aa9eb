package rivertasks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

const (
	pollInterval = 100 * time.Millisecond // where the database does not tell; it is a look at an index
	restartPause = time.Second            // after River could not start
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
)

// Run implements tasks.Store. While the database is away it waits; a task whose end could not be written is begun again.
func (s *Store) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{work: work}); err != nil {
		return fmt.Errorf("run tasks: %w", err)
	}
	for ctx.Err() == nil {
		if err := s.run(ctx, workers); err != nil {
			s.options.Logger.ErrorContext(ctx, "tasks: River did not start, and is started again", "error", err)
			select {
			case <-time.After(restartPause):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// run works tasks until ctx ends, or River stops by itself.
func (s *Store) run(ctx context.Context, workers *river.Workers) error {
	c, err := s.db.client(&river.Config{
		ID:                          uuid.NewString(),
		Queues:                      map[string]river.QueueConfig{queue: {MaxWorkers: s.options.Workers}},
		Workers:                     workers,
		FetchOnlyKnownKinds:         true,
		FetchPollInterval:           pollInterval,
		JobTimeout:                  s.options.Rescue - 1, // which work does not feel; but River rescues nothing that has none
		RescueStuckJobsAfter:        s.options.Rescue,
		RetryPolicy:                 backoff{},
		CompletedJobRetentionPeriod: tasks.Retention,
		CancelledJobRetentionPeriod: tasks.Retention,
		DiscardedJobRetentionPeriod: tasks.Retention,
		Logger:                      s.options.Logger,
	})
	if err != nil {
		return err
	}
	outlive := context.WithoutCancel(ctx) // what was begun is finished
	if err := c.Start(outlive); err != nil {
		return err
	}
	select {
	case <-c.Stopped():
		return errors.New("it has stopped")
	case <-ctx.Done():
		return c.Stop(outlive)
	}
}

// A worker does what Run was given.
type worker struct {
	river.WorkerDefaults[job]
	work func(context.Context, tasks.Task) (tasks.Result, error)
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	t, err := taskOf(j.JobRow)
	if err != nil {
		return river.JobCancel(err)
	}
	result, err := w.do(ctx, t)
	result.Error = ""
	if err != nil {
		result = tasks.Result{Error: err.Error()}
	}
	if err := river.RecordOutput(ctx, outcome{t.Attempt, result}); err != nil {
		return river.JobCancel(fmt.Errorf("recording the result: %w", err))
	}
	if err != nil && !tasks.IsTemporary(err) {
		return river.JobCancel(err)
	}
	return err
}

// do calls work; a panic is an error.
func (w *worker) do(ctx context.Context, t tasks.Task) (result tasks.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.work(context.WithoutCancel(ctx), t)
}

// backoff is River's policy of when to try again.
type backoff struct{}

// NextRetry implements river.ClientRetryPolicy.
func (backoff) NextRetry(row *rivertype.JobRow) time.Time {
	pause := min(firstRetry<<min(max(row.Attempt, 1)-1, 20), longestRetry)
	return time.Now().Add(pause - pause/10 + rand.N(pause/5))
}
