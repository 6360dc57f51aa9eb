// Package keylock locks keys among the goroutines of one process.
package keylock

import (
	"context"
	"math"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A Set holds one lock for each key. The zero Set has none locked. It may be used by many
// goroutines at once and must not be copied. Those who wait for a key are served in the order in
// which they came.
type Set struct {
	mu    sync.Mutex
	locks map[string]*lock
}

type lock struct {
	*semaphore.Weighted
	users int // who hold it or wait for it; guarded by Set.mu
}

const (
	shared    = 1
	exclusive = math.MaxInt64
)

// Lock waits until nobody else holds key, and returns the function that releases it, to be called
// once. The error is ctx's.
func (s *Set) Lock(ctx context.Context, key string) (unlock func(), err error) {
	return s.acquire(ctx, key, exclusive)
}

// RLock is Lock for one of many who may hold key together, while nobody has it by Lock.
func (s *Set) RLock(ctx context.Context, key string) (unlock func(), err error) {
	return s.acquire(ctx, key, shared)
}

func (s *Set) acquire(ctx context.Context, key string, weight int64) (func(), error) {
	l := s.join(key)
	if err := l.Acquire(ctx, weight); err != nil {
		s.leave(key, l)
		return nil, err
	}
	return func() { l.Release(weight); s.leave(key, l) }, nil
}

func (s *Set) join(key string) *lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locks[key]
	if l == nil {
		if s.locks == nil {
			s.locks = make(map[string]*lock)
		}
		l = &lock{Weighted: semaphore.NewWeighted(exclusive)}
		s.locks[key] = l
	}
	l.users++
	return l
}

// leave forgets the lock of a key that nobody uses any more.
func (s *Set) leave(key string, l *lock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.locks, key)
	}
}
