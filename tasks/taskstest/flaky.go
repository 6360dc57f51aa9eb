package taskstest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tufonline/tufonline/tasks"
)

// A Verb is a method of a store.
type Verb string

// The verbs.
const (
	Add     Verb = "add"
	Get     Verb = "get"
	RunWork Verb = "run"
)

// A Call is one call of a Flaky's method.
type Call struct {
	Verb Verb
	ID   string // of the task; empty for Run
	N    int    // counts calls, from 1
}

// A Fault is the fate of a call. With the zero Fault, the call reaches the store.
type Fault struct {
	Before error // the call returns this error and does not reach the store
	After  error // the call reaches the store, but the caller gets this error instead of the answer
	Hang   bool  // the call lasts until its context ends and does not reach the store
}

// Flaky is a Store that forwards calls to another one, or fails them on demand. It records all
// calls. Many goroutines may call its methods at once.
type Flaky struct {
	store tasks.Store
	fault func(Call) Fault

	mu    sync.Mutex
	calls []Call
}

var _ tasks.Store = (*Flaky)(nil)

// NewFlaky returns a Flaky that forwards calls to s. It calls fault before each call. fault may
// block to delay the call. Many goroutines may call it at once. If fault is nil, all calls reach s.
func NewFlaky(s tasks.Store, fault func(Call) Fault) *Flaky {
	if fault == nil {
		fault = func(Call) Fault { return Fault{} }
	}
	return &Flaky{store: s, fault: fault}
}

// Unwrap returns the other store, for tasks.As.
func (f *Flaky) Unwrap() tasks.Store { return f.store }

// Calls returns the calls so far, in the order in which they began.
func (f *Flaky) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Add implements tasks.Store.
func (f *Flaky) Add(ctx context.Context, t tasks.Task) error {
	_, err := pass(ctx, f, Add, t.ID, func() (struct{}, error) { return struct{}{}, f.store.Add(ctx, t) })
	return err
}

// Get implements tasks.Store.
func (f *Flaky) Get(ctx context.Context, id string) (tasks.Task, error) {
	return pass(ctx, f, Get, id, func() (tasks.Task, error) { return f.store.Get(ctx, id) })
}

// Run implements tasks.Store.
func (f *Flaky) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	_, err := pass(ctx, f, RunWork, "", func() (struct{}, error) { return struct{}{}, f.store.Run(ctx, work) })
	return err
}

func pass[T any](ctx context.Context, f *Flaky, verb Verb, id string, call func() (T, error)) (T, error) {
	var none T
	switch fault := f.fault(f.record(verb, id)); {
	case fault.Hang:
		<-ctx.Done()
		return none, fmt.Errorf("%s %s: %w", verb, id, ctx.Err())
	case fault.Before != nil:
		return none, fault.Before
	case fault.After != nil:
		_, _ = call()
		return none, fault.After
	default:
		return call()
	}
}

func (f *Flaky) record(verb Verb, id string) Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Call{Verb: verb, ID: id, N: len(f.calls) + 1}
	f.calls = append(f.calls, c)
	return c
}
