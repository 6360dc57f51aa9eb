package tasks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

var errDown = tasks.WithCode(tasks.Temporary(errors.New("store is down")), "store_unavailable")

func failForNow(context.Context, tasks.Task) (tasks.Result, error) {
	return tasks.Result{Versions: map[string]int64{"timestamp": 7}}, errDown
}

func TestMemoryTriesTemporaryFailuresAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		var begun []time.Time
		stop := start(t, m, func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
			begun = append(begun, time.Now())
			return failForNow(ctx, t)
		})
		require.NoError(t, m.Add(t.Context(), task("a")))
		time.Sleep(2 * time.Hour)
		stop()
		got, err := m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, tasks.StateFailure, got.State)
		assert.Equal(t, tasks.DefaultMaxAttempts, got.Attempt)
		assert.Equal(t, tasks.DefaultMaxAttempts, got.MaxAttempts)
		assert.Equal(t, "store is down", got.Result.Error)
		assert.Equal(t, "store_unavailable", got.Result.Code)
		require.Len(t, begun, tasks.DefaultMaxAttempts)
		for i, next := range begun[1:] {
			about := min(time.Second<<i, 4*time.Minute)
			assert.InDelta(t, about, next.Sub(begun[i]), float64(about/10), "after attempt %d", i+1)
		}
	})
}

func TestATaskThatWaitsForItsNextAttemptIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: 1, MaxAttempts: 2})
		stop := start(t, m, failForNow)
		require.NoError(t, m.Add(t.Context(), task("a")))
		failed := time.Now()
		time.Sleep(100 * time.Millisecond)
		got, err := m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, tasks.StatePending, got.State)
		assert.Equal(t, failed, got.Updated)
		assert.Equal(t, 1, got.Attempt)
		assert.Equal(t, tasks.Result{Error: "store is down", Code: "store_unavailable"}, got.Result)
		require.ErrorIs(t, m.Add(t.Context(), task("b")), tasks.ErrFull)
		time.Sleep(time.Minute)
		assert.Equal(t, tasks.StateFailure, state(t, m, "a"))
		require.NoError(t, m.Add(t.Context(), task("b")), "the ended task takes no room")
		stop()
	})
}

func TestAfterAStopNoFurtherAttemptBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		stop := start(t, m, failForNow)
		require.NoError(t, m.Add(t.Context(), task("a")))
		synctest.Wait()
		before := time.Now()
		stop()
		assert.Equal(t, before, time.Now(), "a stop does not wait for what waits")
		time.Sleep(100 * time.Millisecond)
		got, err := m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, tasks.StatePending, got.State)
		assert.Equal(t, 1, got.Attempt)
		assert.Equal(t, "store is down", got.Result.Error)

		stop = start(t, m, succeed)
		assert.Equal(t, tasks.StatePending, state(t, m, "a"), "the pause is not over")
		time.Sleep(2 * time.Second)
		got, err = m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, tasks.StateSuccess, got.State)
		assert.Equal(t, 2, got.Attempt)
		assert.Empty(t, got.Result.Error)
		assert.Empty(t, got.Result.Code)
		stop()
	})
}

// An attempt that a stop waits for may fail for now.
func TestAStopDoesNotRepeatTheAttemptThatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		attempts := 0
		stop := start(t, m, func(context.Context, tasks.Task) (tasks.Result, error) {
			attempts++
			time.Sleep(time.Hour)
			return tasks.Result{}, errDown
		})
		require.NoError(t, m.Add(t.Context(), task("a")))
		synctest.Wait()
		stop()
		time.Sleep(time.Hour)
		assert.Equal(t, tasks.StatePending, state(t, m, "a"))
		assert.Equal(t, 1, attempts)
	})
}

func TestWhenOneRunStopsAnotherMakesTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		stopFirst := start(t, m, failForNow)
		require.NoError(t, m.Add(t.Context(), task("a")))
		synctest.Wait()
		stopSecond := start(t, m, succeed)
		stopFirst()
		time.Sleep(time.Minute)
		assert.Equal(t, tasks.StateSuccess, state(t, m, "a"))
		stopSecond()
	})
}
