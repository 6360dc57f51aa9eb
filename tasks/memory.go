package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// The defaults of MemoryOptions.
const (
	DefaultCapacity = 10_000
	DefaultHistory  = 100_000
)

// MemoryOptions are optional.
type MemoryOptions struct {
	// Capacity is how many tasks that have not ended a [Memory] holds. Over it, Add returns
	// ErrFull. The default is DefaultCapacity.
	Capacity int

	// History is how many ended tasks a [Memory] keeps. Over it, the oldest goes first, even if it
	// ended less than Retention ago. So finished work neither fills the memory nor stops new tasks.
	// The default is DefaultHistory.
	History int
}

// Memory is a Store in the memory of this process. The tasks end with the process. Each task has
// one attempt.
//
// While a Run is active, each added task starts at once in a goroutine of its own. No task waits
// for another. When the context of Run ends, Run finishes the tasks that were added before. Tasks
// that are added later wait for another Run.
type Memory struct {
	capacity int
	history  int

	mu      sync.Mutex
	tasks   map[string]*Task
	pending []*Task // not started by a Run
	live    int     // how many tasks have not ended
	ended   []*Task // the first to end comes first
	runs    []*run  // active, or about to stop
}

// A run is one call of Run.
type run struct {
	ctx   context.Context
	work  func(context.Context, Task) (Result, error)
	begun sync.WaitGroup
}

var _ Store = (*Memory)(nil)

// NewMemory returns a Memory without tasks.
func NewMemory(opts MemoryOptions) *Memory {
	return &Memory{
		capacity: cmp.Or(opts.Capacity, DefaultCapacity),
		history:  cmp.Or(opts.History, DefaultHistory),
		tasks:    make(map[string]*Task),
	}
}

// Add implements Store.
func (m *Memory) Add(ctx context.Context, t Task) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("add task %s: %w", t.ID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.forget(now)
	if _, ok := m.tasks[t.ID]; ok {
		return fmt.Errorf("add task %s: %w", t.ID, ErrExists)
	}
	if m.live >= m.capacity {
		return fmt.Errorf("add task %s: %w: %d have not ended", t.ID, ErrFull, m.live)
	}
	kept := &Task{ID: t.ID, App: t.App, Roles: slices.Clone(t.Roles), State: StatePending, Created: now, Updated: now,
		MaxAttempts: 1}
	m.tasks[t.ID] = kept
	m.live++
	for _, r := range m.runs {
		if r.ctx.Err() == nil {
			m.begin(r, kept)
			return nil
		}
	}
	m.pending = append(m.pending, kept)
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, id string) (Task, error) {
	if err := ctx.Err(); err != nil {
		return Task{}, fmt.Errorf("get task %s: %w", id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(time.Now())
	t, ok := m.tasks[id]
	if !ok {
		return Task{}, fmt.Errorf("get task %s: %w", id, ErrNotFound)
	}
	return clone(*t), nil
}

// Run implements Store.
func (m *Memory) Run(ctx context.Context, work func(context.Context, Task) (Result, error)) error {
	if ctx.Err() != nil {
		return nil
	}
	r := &run{ctx: ctx, work: work}
	m.mu.Lock()
	m.runs = append(m.runs, r)
	for _, t := range m.pending {
		m.begin(r, t)
	}
	m.pending = nil
	m.mu.Unlock()

	<-ctx.Done()
	m.mu.Lock()
	m.runs = slices.DeleteFunc(m.runs, func(other *run) bool { return other == r })
	m.mu.Unlock()
	r.begun.Wait()
	return nil
}

// begin starts a task in a run. The caller holds m.mu, so the run is not waiting for its tasks yet.
func (m *Memory) begin(r *run, t *Task) { r.begun.Go(func() { m.do(r, t) }) }

// do works a task to its end. A panic and a Goexit in work end it too.
func (m *Memory) do(r *run, t *Task) {
	result, err := Result{}, WithCode(errors.New("work ended without a result"), CodePanic)
	defer func() {
		if p := recover(); p != nil {
			err = WithCode(fmt.Errorf("panic: %v", p), CodePanic)
		}
		m.end(t, result, err)
	}()
	result, err = r.work(context.WithoutCancel(r.ctx), m.start(t))
}

// start sets the state of a task that begins. It returns a copy for work.
func (m *Memory) start(t *Task) Task {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.State, t.Updated, t.Attempt = StateStarted, time.Now(), t.Attempt+1
	return clone(*t)
}

// end sets the state and the result of a task.
func (m *Memory) end(t *Task, result Result, err error) {
	state := StateSuccess
	result = cloneResult(result)
	result.Error, result.Code = "", CodeOf(err)
	if err != nil {
		state, result.Error = StateFailure, err.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.State, t.Updated, t.Result = state, time.Now(), result
	m.live--
	m.ended = append(m.ended, t)
	m.forget(t.Updated)
}

// forget removes the tasks that ended longer than Retention ago, and the oldest ones over History.
// The caller holds m.mu.
func (m *Memory) forget(now time.Time) {
	for len(m.ended) > 0 && (len(m.ended) > m.history || now.Sub(m.ended[0].Updated) > Retention) {
		delete(m.tasks, m.ended[0].ID)
		m.ended[0] = nil // the array lives on
		m.ended = m.ended[1:]
	}
}

func clone(t Task) Task {
	t.Roles = slices.Clone(t.Roles)
	t.Result = cloneResult(t.Result)
	return t
}

func cloneResult(r Result) Result {
	r.Roles = slices.Clone(r.Roles)
	r.Versions = maps.Clone(r.Versions)
	r.Accepted = maps.Clone(r.Accepted)
	r.Warnings = slices.Clone(r.Warnings)
	return r
}
