package taskstest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

const (
	patience = 30 * time.Second // how long a check waits for an event
	// grace is how long a check waits for an event that must not happen. A correct store always
	// passes. A faulty one that is slow may pass too.
	grace = 100 * time.Millisecond
	poll  = 5 * time.Millisecond
)

// single opens a store in a new place.
func single(t testing.TB, h Harness) tasks.Store { return h.Open(t, 0)() }

// add adds a task and returns its ID.
func add(t testing.TB, s tasks.Store, app string, roles ...string) string {
	t.Helper()
	id := uuid.NewString()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: app, Roles: roles}))
	return id
}

func get(t testing.TB, s tasks.Store, id string) tasks.Task {
	t.Helper()
	got, err := s.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, got.ID)
	return got
}

// await waits for a task to end. In each attempt it checks the order of the states.
func await(t testing.TB, s tasks.Store, id string) tasks.Task {
	t.Helper()
	order := []tasks.State{tasks.StatePending, tasks.StateStarted, tasks.StateSuccess, tasks.StateFailure}
	last := 0
	for deadline := time.Now().Add(patience); ; time.Sleep(poll) {
		got := get(t, s, id)
		at := slices.Index(order, got.State)
		if got.Result.Error != "" && !got.State.Ended() {
			last = 0
		}
		require.GreaterOrEqual(t, at, last, "state %q after %q", got.State, order[last])
		last = at
		if got.State.Ended() {
			return got
		}
		require.True(t, time.Now().Before(deadline), "task is still %s", got.State)
	}
}

// work is the argument of Run.
type work func(context.Context, tasks.Task) (tasks.Result, error)

// start runs a store. stop ends the run and waits for it. The end of the test calls stop too.
func start(t testing.TB, s tasks.Store, w work) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	running := begin(ctx, s, w)
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, receive(t, running), "Run")
	})
	t.Cleanup(stop)
	return stop
}

// begin runs a store until ctx ends. The channel receives the error of Run.
func begin(ctx context.Context, s tasks.Store, w work) <-chan error {
	running := make(chan error, 1)
	go func() { running <- s.Run(ctx, w) }()
	return running
}

// receive waits for a value, and fails the test if none comes.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited too long")
		panic("not reached")
	}
}

// A gate holds started tasks. It reports each one, and lets them go when it opens or the test ends.
type gate struct {
	begun chan tasks.Task
	open  chan struct{}
	over  <-chan struct{}
}

func newGate(t testing.TB) *gate {
	return &gate{begun: make(chan tasks.Task, 100), open: make(chan struct{}), over: t.Context().Done()}
}

func (g *gate) wait(t tasks.Task) {
	g.begun <- t
	select {
	case <-g.open:
	case <-g.over:
	}
}

// result returns a result that depends on the task.
func result(t tasks.Task) tasks.Result {
	return tasks.Result{
		Roles:    append(slices.Clone(t.Roles), "timestamp"),
		Versions: map[string]int64{"timestamp": 1 << 60, t.Roles[0]: 7},
		Accepted: map[string]int64{"bins": 1 << 60},
		Warnings: []string{"for " + t.App},
	}
}

func succeed(_ context.Context, t tasks.Task) (tasks.Result, error) { return result(t), nil }

// A tally is work that counts its calls for each task.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func newTally() *tally { return &tally{count: make(map[string]int)} }

func (y *tally) work(_ context.Context, t tasks.Task) (tasks.Result, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.count[t.ID]++
	return result(t), nil
}

// counts returns the counts. The caller has stopped all runs.
func (y *tally) counts() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.count
}
