package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tufonline/tufonline/storage"
)

// A Verb is a method of a store.
type Verb string

// The verbs.
const (
	Get     Verb = "get"
	Create  Verb = "create"
	Replace Verb = "replace"
	Delete  Verb = "delete"
	List    Verb = "list"
)

// A Call is one call of a Flaky's method.
type Call struct {
	Verb Verb
	Key  string // a List's prefix

	N     int // counts calls, from 1
	Write int // counts those of Create and Replace, from 1; 0 for others

	// Start and End are moments, counted by one clock that ticks whenever a call starts or ends: of
	// two calls that did not overlap, the later one's Start is greater than the other's End. End is
	// 0 while the call is under way.
	Start, End int
}

// A Fault is what happens to a call. The zero Fault lets it pass.
type Fault struct {
	Before error // the call fails with this, and nothing lands
	After  error // the call is made, and its answer, whatever it is, is lost: the caller gets this
	Hang   bool  // nothing lands, and the call lasts until its context ends
}

// Flaky is a Store that passes calls on to another one, unless it is told to fail, and remembers
// them. Its methods may be called from many goroutines at once. It is a Deleter and a Lister. If
// the other store is none, Delete and List fail with errors.ErrUnsupported.
type Flaky struct {
	store storage.Store
	fault func(Call) Fault

	mu    sync.Mutex
	clock int
	write int
	calls []Call
}

var (
	_ storage.Store   = (*Flaky)(nil)
	_ storage.Deleter = (*Flaky)(nil)
	_ storage.Lister  = (*Flaky)(nil)
)

// NewFlaky returns a Flaky that passes calls on to s. fault is asked before each, perhaps by many
// goroutines at once, and may block to hold the call back; nil lets all pass.
func NewFlaky(s storage.Store, fault func(Call) Fault) *Flaky {
	if fault == nil {
		fault = func(Call) Fault { return Fault{} }
	}
	return &Flaky{store: s, fault: fault}
}

// Unwrap returns the other store, for storage.As.
func (f *Flaky) Unwrap() storage.Store { return f.store }

// Calls returns the calls so far, in the order in which they started.
func (f *Flaky) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Depth returns the length of the longest chain of calls of which each started after the one before
// it had ended: as many round trips lie one after the other, however many are made at the same
// time. All calls must have ended.
func Depth(calls []Call) int {
	depth, end := 0, 0
	for _, c := range slices.SortedFunc(slices.Values(calls), func(a, b Call) int { return a.End - b.End }) {
		if c.Start > end {
			depth, end = depth+1, c.End
		}
	}
	return depth
}

// Get implements storage.Store.
func (f *Flaky) Get(ctx context.Context, key string) (storage.Object, error) {
	return pass(ctx, f, Get, key, func() (storage.Object, error) { return f.store.Get(ctx, key) })
}

// Create implements storage.Store.
func (f *Flaky) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return pass(ctx, f, Create, key, func() (storage.Version, error) { return f.store.Create(ctx, key, data) })
}

// Replace implements storage.Store.
func (f *Flaky) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	return pass(ctx, f, Replace, key, func() (storage.Version, error) { return f.store.Replace(ctx, key, old, data) })
}

// Delete implements storage.Deleter.
func (f *Flaky) Delete(ctx context.Context, key string) error {
	_, err := pass(ctx, f, Delete, key, func() (struct{}, error) {
		d, ok := storage.As[storage.Deleter](f.store)
		if !ok {
			return struct{}{}, fmt.Errorf("delete %s: %w", key, errors.ErrUnsupported)
		}
		return struct{}{}, d.Delete(ctx, key)
	})
	return err
}

// List implements storage.Lister.
func (f *Flaky) List(ctx context.Context, prefix string) ([]string, error) {
	return pass(ctx, f, List, prefix, func() ([]string, error) {
		l, ok := storage.As[storage.Lister](f.store)
		if !ok {
			return nil, fmt.Errorf("list %q: %w", prefix, errors.ErrUnsupported)
		}
		return l.List(ctx, prefix)
	})
}

func pass[T any](ctx context.Context, f *Flaky, verb Verb, key string, call func() (T, error)) (T, error) {
	c := f.start(verb, key)
	defer f.end(c)
	var none T
	switch fault := f.fault(c); {
	case fault.Hang:
		<-ctx.Done()
		return none, fmt.Errorf("%s %s: %w", verb, key, ctx.Err())
	case fault.Before != nil:
		return none, fault.Before
	case fault.After != nil:
		_, _ = call()
		return none, fault.After
	default:
		return call()
	}
}

func (f *Flaky) start(verb Verb, key string) Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	c := Call{Verb: verb, Key: key, N: len(f.calls) + 1, Start: f.clock}
	if verb == Create || verb == Replace {
		f.write++
		c.Write = f.write
	}
	f.calls = append(f.calls, c)
	return c
}

func (f *Flaky) end(c Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock++
	f.calls[c.N-1].End = f.clock
}
