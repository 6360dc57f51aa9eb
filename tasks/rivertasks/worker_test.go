package rivertasks

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

// attempt runs one attempt at a task with a worker whose database does what settle says.
func attempt(ctx context.Context, t *testing.T, settle func(context.Context, Outcome) (bool, error),
	work func(context.Context, tasks.Task) (tasks.Result, error),
) {
	t.Helper()
	attemptAt(ctx, t, time.Now(), settle, work)
}

// attemptAt runs an attempt that the database has counted since begun.
func attemptAt(ctx context.Context, t *testing.T, begun time.Time, settle func(context.Context, Outcome) (bool, error),
	work func(context.Context, tasks.Task) (tasks.Result, error),
) {
	t.Helper()
	o := Options{Rescue: 15 * time.Minute, Workers: 1, Logger: slog.New(slog.DiscardHandler)}
	row := &rivertype.JobRow{
		ID: 1, Attempt: 1, MaxAttempts: 20, AttemptedAt: &begun, State: rivertype.JobStateRunning,
		EncodedArgs: []byte(`{"id":"a","app":"acme","roles":["timestamp"]}`), Metadata: []byte(`{}`),
	}
	err := newWorker(o, settle, work).Work(ctx, &river.Job[job]{JobRow: row})
	var batch interface {
		Jobs() []*rivertype.JobRow
		ErrorsByID() map[int64]error
	}
	require.ErrorAs(t, err, &batch, "River has nothing to write")
	assert.Empty(t, batch.Jobs())
}

// While the database is away, the outcome is kept until the task counts as lost.
func TestAnOutcomeIsStoredUntilTheTaskIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		begun := time.Now()
		tries := 0
		attempt(ctx, t, func(ctx context.Context, o Outcome) (bool, error) {
			tries++
			assert.Equal(t, rivertype.JobStateCompleted, o.State)
			if tries%2 == 0 { // it does not answer
				<-ctx.Done()
				return false, ctx.Err()
			}
			return false, errors.New("no connection")
		}, nothing)
		assert.Equal(t, 15*time.Minute, time.Since(begun))
		assert.Greater(t, tries, 50)
	})
}

// A process that was stopped finds that all limits of the attempt have passed.
func TestAnOutcomeIsStoredAlthoughTheWorkTookTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		var ended time.Time
		tries := 0
		attempt(ctx, t, func(ctx context.Context, _ Outcome) (bool, error) {
			require.NoError(t, ctx.Err())
			if tries++; tries < 3 {
				return false, errors.New("no connection")
			}
			return true, nil
		}, func(context.Context, tasks.Task) (tasks.Result, error) {
			time.Sleep(time.Hour)
			ended = time.Now()
			return tasks.Result{}, nil
		})
		assert.Equal(t, 3, tries)
		assert.Less(t, time.Since(ended), time.Second)
	})
}

// A person may cancel a job with River's tools.
func TestACancelledJobIsNotTriedAgain(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(rivertype.ErrJobCancelledRemotely)
	var stored Outcome
	attempt(ctx, t, func(_ context.Context, o Outcome) (bool, error) {
		stored = o
		return true, nil
	}, func(ctx context.Context, _ tasks.Task) (tasks.Result, error) {
		return tasks.Result{}, tasks.Temporary(context.Cause(ctx))
	})
	assert.Equal(t, rivertype.JobStateCancelled, stored.State)
}

// A process may be stopped after it has fetched a task, and another one may have the task since.
func TestAnAttemptHasTheTimeThatItsRowLeavesIt(t *testing.T) {
	const limit = 15*time.Minute - longestMargin
	for name, test := range map[string]struct {
		late time.Duration // from the row's time until the work may begin
		left time.Duration // 0 if it does not begin
	}{
		"at once":                        {0, limit},
		"late":                           {10 * time.Minute, limit - 10*time.Minute},
		"after its time":                 {limit, 0},
		"long after its time":            {23 * time.Hour, 0},
		"by a clock that is ahead":       {-time.Hour, limit},
		"by a clock that is days behind": {48 * time.Hour, limit},
		"by a clock that knows no date":  {-48 * time.Hour, limit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var left time.Duration
				var stored Outcome
				attemptAt(t.Context(), t, time.Now().Add(-test.late), func(_ context.Context, o Outcome) (bool, error) {
					stored = o
					return true, nil
				}, func(ctx context.Context, _ tasks.Task) (tasks.Result, error) {
					deadline, _ := ctx.Deadline()
					left = time.Until(deadline)
					return tasks.Result{}, nil
				})
				assert.Equal(t, test.left, left)
				if test.left > 0 {
					assert.Equal(t, rivertype.JobStateCompleted, stored.State)
					return
				}
				assert.Equal(t, rivertype.JobStateAvailable, stored.State, "if no other attempt has begun")
				assert.Contains(t, string(stored.Error), "began too late")
			})
		})
	}
}
