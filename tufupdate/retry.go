package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// retrying is a store that tries calls again whose outcome is unknown: a renewal should not fail
// for one lost answer. The contract of storage.Store makes that safe, since a write that has landed
// already succeeds again.
type retrying struct{ storage.Store }

const (
	tries      = 3
	firstPause = 50 * time.Millisecond
)

func (s retrying) Get(ctx context.Context, key string) (storage.Object, error) {
	return retry(ctx, func() (storage.Object, error) { return s.Store.Get(ctx, key) })
}

func (s retrying) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return retry(ctx, func() (storage.Version, error) { return s.Store.Create(ctx, key, data) })
}

func (s retrying) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	return retry(ctx, func() (storage.Version, error) { return s.Store.Replace(ctx, key, old, data) })
}

func retry[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for try, pause := 1, firstPause; ; try, pause = try+1, 4*pause {
		result, err := guarded(call)
		if err == nil || answered(err) || ctx.Err() != nil || try == tries {
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

// guarded calls what the embedder has provided, and turns a panic into an error: one app's store,
// key or function must not end the process.
func guarded[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return call()
}

// answered reports whether an error is an answer, which will be the same the next time.
func answered(err error) bool {
	for _, sentinel := range []error{
		storage.ErrNotFound, storage.ErrExists, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
