package repofiles

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// Retry returns a store that tries calls again whose outcome is unknown: a renewal should not fail
// for one lost answer. The contract of storage.Store makes that safe, since a write that has landed
// already succeeds again.
func Retry(store storage.Store) storage.Store { return retrying{store} }

type retrying struct{ storage.Store }

// Unwrap is for storage.As.
func (s retrying) Unwrap() storage.Store { return s.Store }

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
		result, err := call()
		if err == nil || Answered(err) || ctx.Err() != nil || try == tries {
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

// Answered reports whether a store's error is an answer. After any other error the outcome of the
// call is unknown.
func Answered(err error) bool {
	for _, sentinel := range []error{
		storage.ErrNotFound, storage.ErrExists, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
