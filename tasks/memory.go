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

	// MaxAttempts is how many attempts a task has. The default is DefaultMaxAttempts. The pauses
	// between them are those of Pause.
	MaxAttempts int
}

// Memory is a Store in the memory of this process. The tasks end with the process.
//
// While a Run is active, each added task starts at once in a goroutine of its own. No task waits
// for another. A failure that is [Temporary] is tried again. When the context of Run ends, Run
// finishes the attempts at tasks that were added before, and begins no further attempt. Tasks that
// are added later, or that wait for another attempt, wait for another Run.
type Memory struct {
	capacity    int
	history     int
	maxAttempts int

	mu      sync.Mutex
	tasks   map[string]*entry
	pending []*entry // in no Run
	live    int      // how many tasks have not ended
	ended   []*entry // the first to end comes first
	runs    []*run   // active, or about to stop
}

// An entry is a task that a Memory keeps.
type entry struct {
	Task
	due time.Time // when the next attempt begins; zero for the first one, which begins at once
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
		capacity:    cmp.Or(opts.Capacity, DefaultCapacity),
		history:     cmp.Or(opts.History, DefaultHistory),
		maxAttempts: cmp.Or(opts.MaxAttempts, DefaultMaxAttempts),
		tasks:       make(map[string]*entry),
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
	kept := &entry{Task: Task{
		ID: t.ID, App: t.App, Roles: slices.Clone(t.Roles), State: StatePending, Created: now, Updated: now,
		MaxAttempts: m.maxAttempts,
	}}
	m.tasks[t.ID] = kept
	m.live++
	m.dispatch(kept)
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
	return clone(t.Task), nil
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

// dispatch gives a task to an active run, or keeps it for the next one. The caller holds m.mu.
func (m *Memory) dispatch(t *entry) {
	for _, r := range m.runs {
		if r.ctx.Err() == nil {
			m.begin(r, t)
			return
		}
	}
	m.pending = append(m.pending, t)
}

// begin gives a task to a run. The caller holds m.mu, so the run is not waiting for its tasks yet.
func (m *Memory) begin(r *run, t *entry) { r.begun.Go(func() { m.do(r, t) }) }

// do works a task until it has ended or the run stops.
func (m *Memory) do(r *run, t *entry) {
	for {
		if !t.due.IsZero() && !sleepUntil(r.ctx, t.due) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.dispatch(t)
			return
		}
		m.attempt(r, t)
		if t.State.Ended() {
			return
		}
	}
}

// sleepUntil waits for a time. It reports whether that came before the end of ctx.
func sleepUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// attempt makes one attempt. A panic and a Goexit in work end the task too.
func (m *Memory) attempt(r *run, t *entry) {
	result, err := Result{}, WithCode(errors.New("work ended without a result"), CodePanic)
	defer func() {
		if p := recover(); p != nil {
			err = WithCode(fmt.Errorf("panic: %v", p), CodePanic)
		}
		m.finish(t, result, err)
	}()
	result, err = r.work(context.WithoutCancel(r.ctx), m.start(t))
}

// start sets the state of a task whose attempt begins. It returns a copy for work.
func (m *Memory) start(t *entry) Task {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.State, t.Updated, t.Attempt = StateStarted, time.Now(), t.Attempt+1
	return clone(t.Task)
}

// finish sets the state and the result of a task whose attempt has ended.
func (m *Memory) finish(t *entry, result Result, err error) {
	result = cloneResult(result)
	result.Error, result.Code = "", CodeOf(err)
	if err != nil {
		result.Error = err.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Updated = time.Now()
	if IsTemporary(err) && t.Attempt < t.MaxAttempts {
		t.State, t.Result = StatePending, Result{Error: result.Error, Code: result.Code}
		t.due = t.Updated.Add(Pause(t.Attempt))
		return
	}
	t.State, t.Result = StateSuccess, result
	if err != nil {
		t.State = StateFailure
	}
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
