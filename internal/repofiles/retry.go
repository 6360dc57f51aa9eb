package repofiles

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// Retry returns a store that repeats calls whose outcome is unknown. Each try has a limit, so a
// request whose answer is lost costs its limit and not the roll's. The contract of storage.Store
// makes a second try safe: a write that has landed already succeeds again.
func Retry(store storage.Store) storage.Store { return retrying{store} }

type retrying struct{ storage.Store }

// Unwrap is for storage.As.
func (s retrying) Unwrap() storage.Store { return s.Store }

const (
	tries      = 3
	firstPause = 50 * time.Millisecond // before the second try; four times as long before the next
	firstLimit = 10 * time.Second      // of the first try; three times as long for the next
	perMiB     = time.Second           // more, for each MiB that is written
)

func (s retrying) Get(ctx context.Context, key string) (storage.Object, error) {
	return retry(ctx, 0, func(ctx context.Context) (storage.Object, error) { return s.Store.Get(ctx, key) })
}

func (s retrying) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return retry(ctx, len(data), func(ctx context.Context) (storage.Version, error) {
		return s.Store.Create(ctx, key, data)
	})
}

func (s retrying) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	return retry(ctx, len(data), func(ctx context.Context) (storage.Version, error) {
		return s.Store.Replace(ctx, key, old, data)
	})
}

// retry makes a call that writes size bytes until the store answers, a few times at most.
func retry[T any](ctx context.Context, size int, call func(context.Context) (T, error)) (T, error) {
	limit, pause := firstLimit, firstPause
	for try := 1; ; try++ {
		result, err := limited(ctx, limit+time.Duration(size)*perMiB/(1<<20), call)
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
		limit, pause = 3*limit, 4*pause
	}
}

// limited makes a call that ends when its limit has passed, and says so in the error.
func limited[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	late := fmt.Errorf("no answer of the store within %v", limit.Round(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	result, err := call(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) && !Answered(err) && !errors.Is(err, late) {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return result, err
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
