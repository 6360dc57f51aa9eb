package keystest

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"sync"

	"github.com/tufonline/tufonline/keys"
)

// A Verb is a method of a provider or of its signers.
type Verb string

// The verbs.
const (
	Signer Verb = "signer"
	Public Verb = "public key"
	Sign   Verb = "sign"
)

// A Call is one call of a method of a Flaky, or of a signer that it handed out.
type Call struct {
	Verb    Verb
	Request keys.Request // what the signer was asked for with
	N       int          // counts calls, from 1
}

// A Fault is what happens to a call. The zero Fault lets it pass.
type Fault struct {
	Err     error       // the call fails with this
	Hang    bool        // the call lasts until its context ends
	Instead keys.Signer // answers in place of the right one
}

// Flaky is a Provider that passes calls on to another one, unless it is told to fail, and remembers
// them, with those of the signers that it returned. All may be called from many goroutines at once.
type Flaky struct {
	provider keys.Provider
	fault    func(Call) Fault

	mu    sync.Mutex
	calls []Call
}

var _ keys.Provider = (*Flaky)(nil)

// NewFlaky returns a Flaky that passes calls on to p. fault is asked before each, perhaps by many
// goroutines at once, and may block to hold the call back; nil lets all pass.
func NewFlaky(p keys.Provider, fault func(Call) Fault) *Flaky {
	if fault == nil {
		fault = func(Call) Fault { return Fault{} }
	}
	return &Flaky{provider: p, fault: fault}
}

// Unwrap returns the provider that calls are passed on to.
func (f *Flaky) Unwrap() keys.Provider { return f.provider }

// Calls returns the calls so far, in the order in which they started.
func (f *Flaky) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Count returns how many calls of a verb there were.
func (f *Flaky) Count(verb Verb) int {
	n := 0
	for _, c := range f.Calls() {
		if c.Verb == verb {
			n++
		}
	}
	return n
}

// Signer implements keys.Provider.
func (f *Flaky) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	instead, err := f.enter(ctx, Signer, req)
	if err != nil {
		return nil, err
	}
	s := instead
	if s == nil {
		if s, err = f.provider.Signer(ctx, req); err != nil {
			return nil, err
		}
	}
	return &flakySigner{f, req, s}, nil
}

// enter remembers a call and does what is to happen to it, but for answering it.
func (f *Flaky) enter(ctx context.Context, verb Verb, req keys.Request) (instead keys.Signer, err error) {
	fault := f.fault(f.remember(verb, req))
	if fault.Hang {
		<-ctx.Done()
		return nil, fmt.Errorf("app %s: key %s: %s: %w", req.App, req.KeyID, verb, ctx.Err())
	}
	return fault.Instead, fault.Err
}

func (f *Flaky) remember(verb Verb, req keys.Request) Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Call{Verb: verb, Request: req, N: len(f.calls) + 1}
	f.calls = append(f.calls, c)
	return c
}

type flakySigner struct {
	flaky  *Flaky
	req    keys.Request
	signer keys.Signer
}

func (s *flakySigner) Public(ctx context.Context) (crypto.PublicKey, error) {
	signer, err := s.enter(ctx, Public)
	if err != nil {
		return nil, err
	}
	return signer.Public(ctx)
}

func (s *flakySigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	signer, err := s.enter(ctx, Sign)
	if err != nil {
		return nil, err
	}
	return signer.Sign(ctx, message)
}

// enter returns the signer that answers a call.
func (s *flakySigner) enter(ctx context.Context, verb Verb) (keys.Signer, error) {
	instead, err := s.flaky.enter(ctx, verb, s.req)
	if instead == nil {
		instead = s.signer
	}
	return instead, err
}
