package taskstest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

func unknown(t testing.TB, h Harness) {
	s := single(t, h)
	for range 2 {
		_, err := s.Get(t.Context(), uuid.NewString())
		require.ErrorIs(t, err, tasks.ErrNotFound)
		add(t, s, "acme", "timestamp")
	}
}

func pending(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	id := uuid.NewString()
	require.NoError(t, open().Add(t.Context(), tasks.Task{
		ID: id, App: "acme/desktop", Roles: []string{"snapshot", "timestamp"},
		// Add ignores these.
		State: tasks.StateSuccess, Created: time.Unix(1, 0), Updated: time.Unix(2, 0), Result: tasks.Result{Error: "no"},
	}))
	got := get(t, open(), id)
	assert.Equal(t, "acme/desktop", got.App)
	assert.Equal(t, []string{"snapshot", "timestamp"}, got.Roles)
	assert.Equal(t, tasks.StatePending, got.State)
	assert.Equal(t, tasks.Result{}, got.Result)
	assert.Zero(t, got.Attempt)
	assert.Equal(t, h.Retries, got.MaxAttempts > 1, "MaxAttempts is %d", got.MaxAttempts)
	assert.Positive(t, got.MaxAttempts)
	assert.True(t, got.Created.After(time.Unix(2, 0)), "Created is when it was added: %v", got.Created)
	assert.True(t, got.Updated.Equal(got.Created), "Updated is the same: %v", got.Updated)
}

func success(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	id := add(t, open(), "acme/desktop", "targets", "snapshot")
	accepted := get(t, open(), id)
	g := newGate(t)
	start(t, open(), func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		g.wait(task)
		r := result(task)
		r.Error, r.Code = "ignored", "ignored"
		return r, nil
	})
	worked := receive(t, g.begun)
	assert.Equal(t, id, worked.ID)
	assert.Equal(t, "acme/desktop", worked.App)
	assert.Equal(t, []string{"targets", "snapshot"}, worked.Roles)
	assert.Equal(t, 1, worked.Attempt)

	started := get(t, open(), id)
	assert.Equal(t, tasks.StateStarted, started.State)
	assert.Equal(t, tasks.Result{}, started.Result)
	close(g.open)

	got := await(t, open(), id)
	assert.Equal(t, tasks.StateSuccess, got.State)
	assert.Equal(t, result(worked), got.Result)
	assert.Equal(t, "acme/desktop", got.App)
	assert.Equal(t, []string{"targets", "snapshot"}, got.Roles)
	assert.True(t, got.Created.Equal(accepted.Created), "Created stays")
	assert.False(t, started.Updated.Before(accepted.Updated), "Updated grows")
	assert.False(t, got.Updated.Before(started.Updated), "Updated grows")
}

func failure(t testing.TB, h Harness) {
	s := single(t, h)
	start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		return result(task), fmt.Errorf("role targets: %w", tasks.WithCode(errors.New("no such key"), "key_missing"))
	})
	got := await(t, s, add(t, s, "acme", "targets"))
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Contains(t, got.Result.Error, "role targets: no such key")
	assert.Equal(t, "key_missing", got.Result.Code)
	assert.Equal(t, 1, got.Attempt, "another attempt would fail too")
}

func temporary(t testing.TB, h Harness) {
	s := single(t, h)
	g := newGate(t)
	start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		if task.Attempt == 1 {
			return result(task), tasks.WithCode(tasks.Temporary(errors.New("the store is down")), "store_unavailable")
		}
		g.wait(task)
		return result(task), nil
	})
	id := add(t, s, "acme", "targets")
	if !h.Retries {
		got := await(t, s, id)
		assert.Equal(t, tasks.StateFailure, got.State)
		assert.Contains(t, got.Result.Error, "the store is down")
		assert.Equal(t, "store_unavailable", got.Result.Code)
		assert.Equal(t, 1, got.Attempt)
		return
	}
	again := receive(t, g.begun)
	assert.Equal(t, 2, again.Attempt)
	got := get(t, s, id)
	assert.Equal(t, tasks.StateStarted, got.State)
	assert.Equal(t, 2, got.Attempt)
	assert.Contains(t, got.Result.Error, "the store is down", "a started task shows why the last attempt failed")
	assert.Equal(t, "store_unavailable", got.Result.Code)
	assert.Empty(t, got.Result.Versions)
	close(g.open)
	got = await(t, s, id)
	assert.Equal(t, tasks.StateSuccess, got.State)
	assert.Equal(t, 2, got.Attempt)
	assert.Equal(t, result(again), got.Result, "the result has no error")
}

func panics(t testing.TB, h Harness) {
	s := single(t, h)
	start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		if task.App == "bad" {
			panic("index out of sorts")
		}
		return result(task), nil
	})
	got := await(t, s, add(t, s, "bad", "targets"))
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Contains(t, got.Result.Error, "index out of sorts")
	assert.Equal(t, tasks.CodePanic, got.Result.Code)
	assert.NotContains(t, got.Result.Error, "goroutine", "the result shows no stack")

	assert.Equal(t, tasks.StateSuccess, await(t, s, add(t, s, "good", "targets")).State, "the next task is worked")
}

func exits(t testing.TB, h Harness) {
	s := single(t, h)
	stop := start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		if task.App == "bad" {
			runtime.Goexit()
		}
		return result(task), nil
	})
	got := await(t, s, add(t, s, "bad", "targets"))
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.NotEmpty(t, got.Result.Error)
	assert.Equal(t, tasks.CodePanic, got.Result.Code)
	assert.Equal(t, 1, got.Attempt, "another attempt would end so too")

	assert.Equal(t, tasks.StateSuccess, await(t, s, add(t, s, "good", "targets")).State, "the next task is worked")
	stop() // Run ends
}

func twice(t testing.TB, h Harness) {
	s := single(t, h)
	id := add(t, s, "acme", "targets")
	again := tasks.Task{ID: id, App: "other", Roles: []string{"snapshot"}}
	require.ErrorIs(t, s.Add(t.Context(), again), tasks.ErrExists)
	assert.Equal(t, "acme", get(t, s, id).App)

	start(t, s, succeed)
	before := await(t, s, id)
	require.ErrorIs(t, s.Add(t.Context(), again), tasks.ErrExists, "even if the task has ended")
	assert.Equal(t, before, get(t, s, id))
}

func racingAdds(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	handles := []tasks.Store{open(), open()}
	count := newTally()
	stop := start(t, handles[0], count.work)
	for round := range 5 {
		id := uuid.NewString()
		var accepted atomic.Int32
		var running sync.WaitGroup
		ready := make(chan struct{})
		for i := range 8 {
			running.Go(func() {
				<-ready
				err := handles[i%2].Add(t.Context(), tasks.Task{ID: id, App: fmt.Sprint("app", i), Roles: []string{"timestamp"}})
				if err == nil {
					accepted.Add(1)
				} else {
					assert.ErrorIs(t, err, tasks.ErrExists)
				}
			})
		}
		close(ready)
		running.Wait()
		require.EqualValues(t, 1, accepted.Load(), "accepted in round %d", round)
		await(t, handles[0], id)
	}
	stop()
	for _, n := range count.counts() {
		assert.Equal(t, 1, n)
	}
}

func crowd(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	handles := []tasks.Store{open(), open()}
	start(t, handles[0], succeed)
	var ids [8][]string
	var running sync.WaitGroup
	for i := range ids {
		running.Go(func() {
			s := handles[i%2]
			app := fmt.Sprint("app", i)
			for range 10 {
				id := uuid.NewString()
				if !assert.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: app, Roles: []string{"timestamp"}})) {
					return
				}
				ids[i] = append(ids[i], id)
				for _, id := range ids[i] {
					got, err := s.Get(t.Context(), id)
					assert.NoError(t, err)
					assert.Equal(t, id, got.ID)
					assert.Equal(t, app, got.App)
				}
			}
		})
	}
	running.Wait()
	for i := range ids {
		for _, id := range ids[i] {
			assert.Equal(t, []string{fmt.Sprint("for app", i)}, await(t, handles[0], id).Result.Warnings)
		}
	}
}

func ownership(t testing.TB, h Harness) {
	s := single(t, h)
	id := uuid.NewString()
	roles := []string{"targets", "snapshot"}
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme", Roles: roles}))
	roles[0] = "changed"
	get(t, s, id).Roles[0] = "changed"
	require.Equal(t, []string{"targets", "snapshot"}, get(t, s, id).Roles)

	kept := make(chan tasks.Result, 1)
	start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		r := result(task)
		task.Roles[0] = "changed"
		kept <- r
		return r, nil
	})
	want := result(tasks.Task{App: "acme", Roles: []string{"targets", "snapshot"}})
	require.Equal(t, want, await(t, s, id).Result)
	for _, r := range []tasks.Result{receive(t, kept), get(t, s, id).Result} {
		r.Roles[0], r.Warnings[0] = "changed", "changed"
		r.Versions["timestamp"], r.Accepted["bins"] = 0, 0
		got := get(t, s, id)
		assert.Equal(t, want, got.Result)
		assert.Equal(t, []string{"targets", "snapshot"}, got.Roles)
	}
}

func full(t testing.TB, h Harness) {
	if h.Unbounded {
		t.Skip("the store is not bounded")
	}
	s := h.Open(t, 3)()
	ids := []string{add(t, s, "acme", "targets"), add(t, s, "acme", "targets"), add(t, s, "other", "targets")}
	refused := tasks.Task{ID: uuid.NewString(), App: "acme", Roles: []string{"targets"}}
	require.ErrorIs(t, s.Add(t.Context(), refused), tasks.ErrFull)
	_, err := s.Get(t.Context(), refused.ID)
	require.ErrorIs(t, err, tasks.ErrNotFound, "a refused task is not stored")

	start(t, s, succeed)
	for _, id := range ids {
		assert.Equal(t, tasks.StateSuccess, await(t, s, id).State)
	}
	require.NoError(t, s.Add(t.Context(), refused))
	await(t, s, refused.ID)
}

func ended(t testing.TB, h Harness) {
	s := single(t, h)
	id := add(t, s, "acme", "targets")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, id)
	require.NotErrorIs(t, err, tasks.ErrNotFound)

	count := newTally()
	require.NoError(t, receive(t, begin(ctx, s, count.work)))
	assert.Empty(t, count.counts())
	assert.Equal(t, tasks.StatePending, get(t, s, id).State)
}
