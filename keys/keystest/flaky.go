package keystest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tufonline/tufonline/keys"
)

// A Verb is a method of a provider or of its signers.
type Verb string

// The verbs.
const (
	Signer      Verb = "signer"
	PublicKey   Verb = "public key"
	SignMessage Verb = "sign"
)

// A Call is one call of a method of a Flaky, or of a signer that it handed out.
type Call struct {
	Verb    Verb
	Request keys.Request // what the signer was asked for with
	N       int          // counts calls, from 1
}

// A Fault is what happens to a call. The zero Fault lets it pass.
type Fault struct {
	Err error // the call fails with this
	// the call lasts until its context ends; with a signer's methods that is the one of
	// options.WithContext
	Hang    bool
	Instead signature.Signer // answers in place of the right one
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
func (f *Flaky) Signer(ctx context.Context, req keys.Request) (signature.Signer, error) {
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
func (f *Flaky) enter(ctx context.Context, verb Verb, req keys.Request) (instead signature.Signer, err error) {
	fault := f.fault(f.remember(verb, req))
	switch {
	case fault.Hang && ctx == nil:
		return nil, errors.New("keystest: a call without a context would hang for ever")
	case fault.Hang:
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
	signer signature.Signer
}

func (s *flakySigner) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	signer, err := enter(s, PublicKey, opts)
	if err != nil {
		return nil, err
	}
	return signer.PublicKey(opts...)
}

func (s *flakySigner) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	signer, err := enter(s, SignMessage, opts)
	if err != nil {
		return nil, err
	}
	return signer.SignMessage(message, opts...)
}

// enter returns the signer that answers a call.
func enter[O signature.RPCOption](s *flakySigner, verb Verb, opts []O) (signature.Signer, error) {
	var ctx context.Context
	for _, o := range opts {
		o.ApplyContext(&ctx)
	}
	instead, err := s.flaky.enter(ctx, verb, s.req)
	if instead == nil {
		instead = s.signer
	}
	return instead, err
}
