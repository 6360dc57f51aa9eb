package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/taskstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryIsAStore(t *testing.T) {
	taskstest.Run(t, taskstest.Harness{Retries: true, Open: func(_ testing.TB, capacity int) func() tasks.Store {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
		return func() tasks.Store { return m }
	}})
}

func task(id string) tasks.Task { return tasks.Task{ID: id, App: "acme", Roles: []string{"timestamp"}} }

func succeed(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil }

// start runs a store. stop ends the run and waits for it.
func start(t *testing.T, m *tasks.Memory, work func(context.Context, tasks.Task) (tasks.Result, error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- m.Run(ctx, work) }()
	synctest.Wait()
	return func() {
		cancel()
		assert.NoError(t, <-running)
	}
}

func state(t *testing.T, m *tasks.Memory, id string) tasks.State {
	t.Helper()
	got, err := m.Get(t.Context(), id)
	require.NoError(t, err)
	return got.State
}

func TestATaskIsKeptForSevenDaysAfterItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		require.NoError(t, m.Add(t.Context(), task("a")))
		time.Sleep(2 * tasks.Retention)
		assert.Equal(t, tasks.StatePending, state(t, m, "a"), "it has not ended")

		stop := start(t, m, func(context.Context, tasks.Task) (tasks.Result, error) {
			time.Sleep(2 * tasks.Retention)
			return tasks.Result{}, nil
		})
		time.Sleep(2*tasks.Retention - time.Nanosecond)
		assert.Equal(t, tasks.StateStarted, state(t, m, "a"), "it has not ended")
		stop()
		assert.Equal(t, tasks.StateSuccess, state(t, m, "a"))

		time.Sleep(tasks.Retention)
		assert.Equal(t, tasks.StateSuccess, state(t, m, "a"))
		require.ErrorIs(t, m.Add(t.Context(), task("a")), tasks.ErrExists)

		time.Sleep(time.Nanosecond)
		_, err := m.Get(t.Context(), "a")
		require.ErrorIs(t, err, tasks.ErrNotFound)
		require.NoError(t, m.Add(t.Context(), task("a")), "the ID is free")
	})
}

func TestTimesSayWhenTheStateChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		added := time.Now()
		require.NoError(t, m.Add(t.Context(), task("a")))
		time.Sleep(time.Hour)
		stop := start(t, m, func(context.Context, tasks.Task) (tasks.Result, error) {
			time.Sleep(time.Minute)
			return tasks.Result{}, nil
		})
		got, err := m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, added, got.Created)
		assert.Equal(t, added.Add(time.Hour), got.Updated)
		stop()
		got, err = m.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, added, got.Created)
		assert.Equal(t, added.Add(time.Hour+time.Minute), got.Updated)
	})
}

func TestOverHistoryTheOldestEndedTasksAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{History: 3})
		require.NoError(t, m.Add(t.Context(), task("first")))
		stop := start(t, m, succeed)
		for i := range 5 {
			time.Sleep(time.Second)
			require.NoError(t, m.Add(t.Context(), task(strconv.Itoa(i))))
		}
		stop()
		for _, id := range []string{"first", "0", "1"} {
			_, err := m.Get(t.Context(), id)
			require.ErrorIs(t, err, tasks.ErrNotFound, id)
		}
		for _, id := range []string{"2", "3", "4"} {
			assert.Equal(t, tasks.StateSuccess, state(t, m, id))
		}
	})
}

func TestOnlyTasksThatHaveNotEndedCountForCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: 2})
		release := make(chan struct{})
		stop := start(t, m, func(context.Context, tasks.Task) (tasks.Result, error) {
			<-release
			return tasks.Result{}, errors.New("failures end too")
		})
		require.NoError(t, m.Add(t.Context(), task("a")))
		require.NoError(t, m.Add(t.Context(), task("b")))
		synctest.Wait()
		assert.Equal(t, tasks.StateStarted, state(t, m, "b"))
		require.ErrorIs(t, m.Add(t.Context(), task("c")), tasks.ErrFull)
		require.ErrorIs(t, m.Add(t.Context(), task("a")), tasks.ErrExists, "ErrExists comes before ErrFull")
		close(release)
		synctest.Wait()
		require.NoError(t, m.Add(t.Context(), task("c")))
		require.NoError(t, m.Add(t.Context(), task("d")))
		stop()
	})
}

func TestAStopFinishesTheTasksAddedBeforeItOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() { running <- m.Run(ctx, slowly) }()
		synctest.Wait()
		for i := range 50 {
			require.NoError(t, m.Add(t.Context(), task(fmt.Sprint("before", i))))
		}
		cancel() // most of them have not started yet
		require.NoError(t, m.Add(t.Context(), task("after")))
		require.NoError(t, <-running)
		for i := range 50 {
			assert.Equal(t, tasks.StateSuccess, state(t, m, fmt.Sprint("before", i)))
		}
		assert.Equal(t, tasks.StatePending, state(t, m, "after"))
	})
}

func slowly(context.Context, tasks.Task) (tasks.Result, error) {
	time.Sleep(time.Second)
	return tasks.Result{}, nil
}

func TestWhileOneRunStopsAnotherStartsNewTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		stopFirst := start(t, m, slowly)
		require.NoError(t, m.Add(t.Context(), task("a")))
		stopSecond := start(t, m, slowly)
		stopFirst()
		require.NoError(t, m.Add(t.Context(), task("b")))
		stopSecond()
		assert.Equal(t, tasks.StateSuccess, state(t, m, "a"))
		assert.Equal(t, tasks.StateSuccess, state(t, m, "b"))
	})
}

func TestATaskEndsHoweverItsWorkEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(context.Context, tasks.Task) (tasks.Result, error)
		want string
		code string
	}{
		{"by an error", func(context.Context, tasks.Task) (tasks.Result, error) {
			return tasks.Result{}, tasks.WithCode(errors.New("no key"), "key_missing")
		}, "no key", "key_missing"},
		{"by an error without a code", func(context.Context, tasks.Task) (tasks.Result, error) {
			return tasks.Result{}, errors.New("no key")
		}, "no key", ""},
		{"by a panic", func(context.Context, tasks.Task) (tasks.Result, error) { panic("no key") }, "panic: no key",
			tasks.CodePanic},
		{"by a panic with an error", func(context.Context, tasks.Task) (tasks.Result, error) { panic(errors.New("no key")) },
			"panic: no key", tasks.CodePanic},
		{"by ending its goroutine", func(context.Context, tasks.Task) (tasks.Result, error) {
			runtime.Goexit()
			return tasks.Result{}, nil
		}, "work ended without a result", tasks.CodePanic},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := tasks.NewMemory(tasks.MemoryOptions{Capacity: 1})
				stop := start(t, m, c.work)
				require.NoError(t, m.Add(t.Context(), task("a")))
				synctest.Wait()
				got, err := m.Get(t.Context(), "a")
				require.NoError(t, err)
				assert.Equal(t, tasks.StateFailure, got.State)
				assert.Equal(t, tasks.Result{Error: c.want, Code: c.code}, got.Result)
				require.NoError(t, m.Add(t.Context(), task("b")), "the ended task takes no room")
				stop()
			})
		})
	}
}

func TestAResultIsKeptEvenIfWorkFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		stop := start(t, m, func(_ context.Context, t tasks.Task) (tasks.Result, error) {
			r := tasks.Result{Error: "work does not set this", Warnings: []string{"root expires soon"}}
			if t.ID == "bad" {
				return r, errors.New("no key")
			}
			return r, nil
		})
		require.NoError(t, m.Add(t.Context(), task("good")))
		require.NoError(t, m.Add(t.Context(), task("bad")))
		stop()
		good, err := m.Get(t.Context(), "good")
		require.NoError(t, err)
		assert.Equal(t, tasks.Result{Warnings: []string{"root expires soon"}}, good.Result)
		bad, err := m.Get(t.Context(), "bad")
		require.NoError(t, err)
		assert.Equal(t, tasks.Result{Error: "no key", Warnings: []string{"root expires soon"}}, bad.Result)
	})
}

func TestACallWhoseContextHasEndedDoesNothing(t *testing.T) {
	m := tasks.NewMemory(tasks.MemoryOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Add(ctx, task("a")), context.Canceled)
	_, err := m.Get(t.Context(), "a")
	require.ErrorIs(t, err, tasks.ErrNotFound)
	_, err = m.Get(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
}
