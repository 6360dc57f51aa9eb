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
	patience = 30 * time.Second // for what has to happen
	// for what must not happen: a store that is slow to go wrong passes, no good one fails
	grace = 100 * time.Millisecond
	poll  = 5 * time.Millisecond
)

// single is one handle on a place of its own.
func single(t testing.TB, h Harness) tasks.Store { return h.Open(t, 0)() }

// add adds a task for an app, and returns its ID.
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

// await waits for a task to end. On its way, states may only come in their order, in each attempt.
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

// work is what a Run is given.
type work func(context.Context, tasks.Task) (tasks.Result, error)

// start runs a store until the function that it returns is called, which waits for the run to end;
// at the latest, the test's end is.
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

// begin runs a store until ctx ends. What Run returns comes by the channel.
func begin(ctx context.Context, s tasks.Store, w work) <-chan error {
	running := make(chan error, 1)
	go func() { running <- s.Run(ctx, w) }()
	return running
}

// receive waits for a value.
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

// A gate is work that reports tasks when they are begun, and ends them when it is opened, or the
// test is over.
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

// result is a result that says something about a task.
func result(t tasks.Task) tasks.Result {
	return tasks.Result{
		Roles:    append(slices.Clone(t.Roles), "timestamp"),
		Versions: map[string]int64{"timestamp": 1 << 60, t.Roles[0]: 7},
		Warnings: []string{"for " + t.App},
	}
}

func succeed(_ context.Context, t tasks.Task) (tasks.Result, error) { return result(t), nil }

// A tally counts how often each task is worked.
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

// counts returns the counts, once nobody works any more.
func (y *tally) counts() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.count
}
