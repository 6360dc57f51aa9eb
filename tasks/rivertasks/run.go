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
	pollInterval  = 100 * time.Millisecond // where the database does not tell; it is a look at an index
	startTimeout  = 30 * time.Second
	restartPause  = time.Second      // after River could not start
	cancelTimeout = 15 * time.Second // of what does not stop
	firstRetry    = time.Second
	longestRetry  = 5 * time.Minute
)

// Run implements tasks.Store. While the database is away it waits; a task whose end could not be
// written is begun again.
func (s *Store) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, newWorker(s.options, work)); err != nil {
		return fmt.Errorf("run tasks: %w", err)
	}
	for ctx.Err() == nil {
		if err := s.run(ctx, workers); err != nil {
			s.options.Logger.ErrorContext(ctx, "tasks: River does not run, and is started again", "error", err)
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
		JobTimeout:                  s.options.Rescue - 1, // by then work has ended; but River rescues nothing that has none
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
	outlive, cancel := context.WithCancel(context.WithoutCancel(ctx)) // what was begun is finished
	defer cancel()
	if err := start(ctx, outlive, cancel, c); err != nil {
		return err
	}
	select {
	case <-c.Stopped():
		return errors.New("it has stopped")
	case <-ctx.Done():
		s.stop(outlive, cancel, c)
		return nil
	}
}

// start starts River, unless the database is silent for too long, or until ctx ends.
func start(ctx, outlive context.Context, cancel context.CancelFunc, c client) error {
	defer context.AfterFunc(ctx, cancel)()
	defer time.AfterFunc(startTimeout, cancel).Stop()
	return c.Start(outlive)
}

// stop has River finish what it has begun. A database that is silent does not hold it up for ever:
// when what was begun counts as lost, it is left.
func (s *Store) stop(outlive context.Context, cancel context.CancelFunc, c client) {
	finish, cancelFinish := context.WithTimeout(outlive, s.options.Rescue)
	defer cancelFinish()
	if c.Stop(finish) == nil {
		return
	}
	cancel()
	leave, cancelLeave := context.WithTimeout(context.WithoutCancel(outlive), cancelTimeout)
	defer cancelLeave()
	s.options.Logger.ErrorContext(leave, "tasks: what was begun did not end, and is begun again elsewhere", "error",
		c.Stop(leave))
}

// backoff is River's policy of when to try again.
type backoff struct{}

// NextRetry implements river.ClientRetryPolicy.
func (backoff) NextRetry(row *rivertype.JobRow) time.Time {
	pause := min(firstRetry<<min(max(row.Attempt, 1)-1, 20), longestRetry)
	return time.Now().Add(pause - pause/10 + rand.N(pause/5))
}
