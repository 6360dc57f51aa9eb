package custody

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tufonline/tufonline/keys"
)

const (
	tries      = 3
	firstPause = 50 * time.Millisecond // before the second try; four times as long before the next

	// lasting is how many calls may fail in every try. Then the key service is down, or a key is
	// broken: to wait for each of a thousand roles would take minutes.
	lasting = 8
)

// patience repeats calls of a key provider and of its signers that fail in passing. It is shared by
// all calls of a Keyring.
type patience struct{ failed atomic.Int32 }

// repeat makes a call until it succeeds, a few times at most. That there is no such key is an
// answer. When ctx ends, repeat leaves behind a call that goes on.
func repeat[T any](ctx context.Context, p *patience, call func() (T, error)) (T, error) {
	for try, pause := 1, firstPause; ; try, pause = try+1, 4*pause {
		result, err := leave(ctx, call)
		if err == nil || errors.Is(err, keys.ErrNoKey) || ctx.Err() != nil || p.failed.Load() >= lasting {
			return result, err
		}
		if try == tries {
			p.failed.Add(1)
			return result, err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return result, err
		}
	}
}

// leave makes a call that may ignore its context. It does not wait for the call once ctx has ended.
// A panic is an error: providers and signers are the embedder's code.
func leave[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		result T
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("the call ended without an answer")}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("panic: %v", p)
			}
			done <- a
		}()
		a.result, a.err = call()
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// patient is a signer whose calls are repeated.
type patient struct {
	signer   keys.Signer
	patience *patience
}

func (s patient) Public(ctx context.Context) (crypto.PublicKey, error) {
	return repeat(ctx, s.patience, func() (crypto.PublicKey, error) { return s.signer.Public(ctx) })
}

func (s patient) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return repeat(ctx, s.patience, func() ([]byte, error) { return s.signer.Sign(ctx, message) })
}
