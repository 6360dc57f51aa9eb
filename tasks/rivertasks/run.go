package rivertasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

const (
	pollInterval  = 100 * time.Millisecond // for databases without notifications; it reads an index
	startTimeout  = 30 * time.Second
	restartPause  = time.Second      // after River failed to start
	cancelTimeout = 15 * time.Second // for a River that was told to stop at once
)

// Run implements tasks.Store. It waits while the database is not available. A task whose result
// could not be written is worked again.
func (s *Store) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	o := s.newOutage(ctx)
	defer o.close()
	w := newWorker(s.options, s.settler(o), work)
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, w); err != nil {
		return fmt.Errorf("run tasks: %w", err)
	}
	for ctx.Err() == nil {
		if err := s.run(ctx, workers, w, o); err != nil {
			o.trouble("start of River", err.Error(), restartPause)
			select {
			case <-time.After(restartPause):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// settler returns a function that settles, and says if the database fails.
func (s *Store) settler(o *outage) func(context.Context, Outcome) (bool, error) {
	return func(ctx context.Context, outcome Outcome) (settled bool, err error) {
		settled, err = s.db.settle(ctx, outcome)
		if err != nil {
			o.trouble("storing an outcome", err.Error(), longestSettlePause)
		}
		return settled, err
	}
}

// run works tasks until ctx ends or River stops by itself.
func (s *Store) run(ctx context.Context, workers *river.Workers, w *worker, o *outage) error {
	c, err := s.db.client(&river.Config{
		ID:                          uuid.NewString(),
		Queues:                      map[string]river.QueueConfig{queue: {MaxWorkers: s.options.Workers}},
		Workers:                     workers,
		FetchOnlyKnownKinds:         true,
		FetchPollInterval:           pollInterval,
		JobTimeout:                  s.options.Rescue - 1, // work ends before, but River rescues no job without a timeout
		RescueStuckJobsAfter:        s.options.Rescue,
		RetryPolicy:                 backoff{},
		CompletedJobRetentionPeriod: tasks.Retention,
		CancelledJobRetentionPeriod: tasks.Retention,
		DiscardedJobRetentionPeriod: tasks.Retention,
		Hooks:                       []rivertype.Hook{s.terms.hook()},
		Logger:                      riverLogger(s.options.Logger, o),
	})
	if err != nil {
		return err
	}
	outlive, cancel := context.WithCancel(context.WithoutCancel(ctx)) // started tasks are finished
	defer cancel()
	if err := start(ctx, outlive, cancel, c); err != nil {
		return err
	}
	select {
	case <-c.Stopped():
		return errors.New("stopped by itself")
	case <-ctx.Done():
		s.stop(outlive, cancel, c, w)
		return nil
	}
}

// start starts River. It gives up when ctx ends, or when the database does not answer in time.
func start(ctx, outlive context.Context, cancel context.CancelFunc, c client) error {
	defer context.AfterFunc(ctx, cancel)()
	defer time.AfterFunc(startTimeout, cancel).Stop()
	return c.Start(outlive)
}

// stop lets River finish the started tasks, and waits for all calls of work. It gives up once they
// count as lost, so that a silent database does not hold it up for ever.
func (s *Store) stop(outlive context.Context, cancel context.CancelFunc, c client, w *worker) {
	finish, cancelFinish := context.WithTimeout(outlive, s.options.Rescue)
	defer cancelFinish()
	if c.Stop(finish) == nil && w.idle(finish) == nil {
		return
	}
	cancel()
	leave, cancelLeave := context.WithTimeout(context.WithoutCancel(outlive), cancelTimeout)
	defer cancelLeave()
	s.options.Logger.WarnContext(leave, "tasks: some started tasks did not end and will be worked again",
		"error", errors.Join(c.Stop(leave), w.idle(leave)))
}

// backoff is a river.ClientRetryPolicy. River uses it for tasks that lost their worker.
type backoff struct{}

// NextRetry implements river.ClientRetryPolicy.
func (backoff) NextRetry(row *rivertype.JobRow) time.Time {
	return time.Now().Add(tasks.Pause(row.Attempt))
}
