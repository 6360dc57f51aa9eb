package taskstest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

func stop(t testing.TB, h Harness) {
	s := single(t, h)
	g := newGate(t)
	var finished atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := begin(ctx, s, func(ctx context.Context, task tasks.Task) (tasks.Result, error) {
		g.wait(task)
		if ctx.Err() != nil {
			return tasks.Result{}, context.Cause(ctx)
		}
		finished.Add(1)
		return result(task), nil
	})
	ids := []string{add(t, s, "acme", "targets"), add(t, s, "other", "targets")}
	for range ids {
		receive(t, g.begun)
	}
	cancel()
	select {
	case err := <-running:
		require.FailNow(t, "Run did not wait", "it returned %v", err)
	case <-time.After(grace):
	}
	for _, id := range ids {
		assert.Equal(t, tasks.StateStarted, get(t, s, id).State)
	}
	close(g.open)
	require.NoError(t, receive(t, running))
	assert.EqualValues(t, len(ids), finished.Load(), "all are finished when Run returns")
	for _, id := range ids {
		assert.Equal(t, tasks.StateSuccess, get(t, s, id).State, "the store knows it when Run returns")
	}
}

// contextKey is the type of the keys of context values.
type contextKey struct{}

func values(t testing.TB, h Harness) {
	s := single(t, h)
	got := make(chan bool, 1)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
	running := begin(ctx, s, func(ctx context.Context, task tasks.Task) (tasks.Result, error) {
		got <- ctx.Value(contextKey{}) == "value"
		return result(task), nil
	})
	await(t, s, add(t, s, "acme", "targets"))
	cancel()
	require.NoError(t, receive(t, running))
	assert.True(t, receive(t, got))
}

func restart(t testing.TB, h Harness) {
	s := single(t, h)
	count := newTally()
	stop := start(t, s, count.work)
	first := add(t, s, "acme", "targets")
	await(t, s, first)
	stop()

	second := add(t, s, "acme", "targets")
	time.Sleep(grace)
	assert.Equal(t, tasks.StatePending, get(t, s, second).State, "no run is active")

	stop = start(t, s, count.work)
	assert.Equal(t, tasks.StateSuccess, await(t, s, second).State)
	stop()
	assert.Equal(t, map[string]int{first: 1, second: 1}, count.counts())
}

func forGood(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	s := open()
	count := newTally()
	stop := start(t, s, func(ctx context.Context, task tasks.Task) (tasks.Result, error) {
		r, err := count.work(ctx, task)
		if task.App == "bad" {
			err = errors.New("bad app")
		}
		return r, err
	})
	good, bad := add(t, s, "good", "targets"), add(t, s, "bad", "targets")
	goodBefore, badBefore := await(t, s, good), await(t, s, bad)
	stop()
	other := open()
	stop = start(t, other, count.work)
	await(t, other, add(t, other, "acme", "targets"))
	time.Sleep(grace)
	stop()
	assert.Equal(t, goodBefore, get(t, other, good))
	assert.Equal(t, badBefore, get(t, other, bad))
	assert.Equal(t, 1, count.counts()[good])
	assert.Equal(t, 1, count.counts()[bad])
}

func severalRuns(t testing.TB, h Harness) {
	open := h.Open(t, 0)
	handles := []tasks.Store{open(), open()}
	count := newTally()
	var ids []string
	more := func() {
		for i := range 20 {
			ids = append(ids, add(t, handles[i%2], fmt.Sprint("app", i%3), "targets"))
		}
	}
	more()
	stops := []func(){start(t, handles[0], count.work), start(t, handles[1], count.work)}
	more()
	for _, id := range ids {
		assert.Equal(t, tasks.StateSuccess, await(t, handles[0], id).State)
	}
	stops[0]() // the other run goes on
	more()
	for _, id := range ids {
		assert.Equal(t, tasks.StateSuccess, await(t, handles[1], id).State)
	}
	stops[1]()
	for _, id := range ids {
		assert.Equal(t, 1, count.counts()[id])
	}
}

func hanging(t testing.TB, h Harness) {
	s := single(t, h)
	g := newGate(t)
	start(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		if task.App == "slow" {
			g.wait(task)
		}
		return result(task), nil
	})
	var slow []string
	for range 20 {
		slow = append(slow, add(t, s, "slow", "targets"))
	}
	for range slow {
		receive(t, g.begun)
	}
	for i := range 5 {
		assert.Equal(t, tasks.StateSuccess, await(t, s, add(t, s, fmt.Sprint("quick", i), "targets")).State)
	}
	for _, id := range slow {
		assert.Equal(t, tasks.StateStarted, get(t, s, id).State)
	}
	close(g.open)
	for _, id := range slow {
		assert.Equal(t, tasks.StateSuccess, await(t, s, id).State)
	}
}
