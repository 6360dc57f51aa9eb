package storage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// Each call of a probe × each way to fail once: it proves nothing, and the probe goes on.
func TestProbePassesWhicheverAnswerIsLost(t *testing.T) {
	honest := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), nil)
	require.NoError(t, storage.Probe(t.Context(), honest, storage.ProbeOptions{}))
	calls := len(honest.Calls())
	require.Greater(t, calls, 100)

	broken := errors.New("broken")
	for n := 1; n <= calls; n++ {
		for name, fault := range map[string]storagetest.Fault{
			"fails before it lands": {Before: broken}, "fails after it landed": {After: broken}, "hangs": {Hang: true},
		} {
			synctest.Test(t, func(t *testing.T) {
				failed := storagetest.Delete
				m := storage.NewMemory(storage.MemoryOptions{})
				s := storagetest.NewFlaky(m, func(c storagetest.Call) storagetest.Fault {
					if c.N != n {
						return storagetest.Fault{}
					}
					failed = c.Verb
					return fault
				})
				var reasons []error
				waiting := func(err error) { reasons = append(reasons, err) }
				err := storage.Probe(t.Context(), s, storage.ProbeOptions{Waiting: waiting})
				require.NoError(t, err, "call %d %s", n, name)
				if failed == storagetest.Delete {
					assert.Empty(t, reasons, "what cannot be deleted stays")
					return
				}
				require.Len(t, reasons, 1, "call %d %s", n, name)
				if fault.Hang {
					require.ErrorContains(t, reasons[0], "no answer within 10s")
				} else {
					require.ErrorIs(t, reasons[0], broken)
				}
				keys, err := m.List(t.Context(), "")
				require.NoError(t, err)
				assert.Empty(t, keys)
			})
		}
	}
}

func TestProbeWaitsForAStore(t *testing.T) {
	for name, away := range map[string]storagetest.Fault{
		"that takes connections and says nothing": {Hang: true}, "that is down": {Before: errors.New("down")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				s := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(storagetest.Call) storagetest.Fault {
					if time.Since(begun) < time.Minute {
						return away
					}
					return storagetest.Fault{}
				})
				waited := 0
				require.NoError(t, storage.Probe(t.Context(), s, storage.ProbeOptions{Waiting: func(error) { waited++ }}))
				assert.Less(t, time.Since(begun), 90*time.Second)
				assert.Greater(t, waited, 2)
				assert.Less(t, waited, 20)
			})
		})
	}
}

// A store of which one call in eight fails is still caught if it breaks its promise, and passes if
// it does not.
func TestProbeJudgesAStoreThatFailsNowAndThen(t *testing.T) {
	for _, honest := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var s storage.Store = storage.NewMemory(storage.MemoryOptions{})
			if !honest {
				s = overwrites{s}
			}
			flaky := storagetest.NewFlaky(s, func(storagetest.Call) (f storagetest.Fault) {
				switch rand.N(24) {
				case 0:
					f.Before = errors.New("not done")
				case 1:
					f.After = errors.New("answer lost")
				case 2:
					f.Hang = true
				}
				return f
			})
			err := storage.Probe(t.Context(), flaky, storage.ProbeOptions{})
			if honest {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, storage.ErrNoAtomicWrites)
			}
		})
	}
}

// A breach may come with a lost answer: one writer is told that it won, and another one overwrites
// it without being told so.
func TestProbeSeesThatAWinnerWasOverwrittenByAWriteWhoseAnswerWasLost(t *testing.T) {
	for _, verb := range []storagetest.Verb{storagetest.Create, storagetest.Replace} {
		synctest.Test(t, func(t *testing.T) {
			s := &overwritesOnce{Store: storage.NewMemory(storage.MemoryOptions{}), verb: verb}
			err := storage.Probe(t.Context(), s, storage.ProbeOptions{})
			require.ErrorIs(t, err, storage.ErrNoAtomicWrites, "%v", verb)
		})
	}
}

// overwritesOnce is a store that refuses as it should, but for one call of a verb.
type overwritesOnce struct {
	storage.Store
	verb storagetest.Verb
	once sync.Once
}

func (s *overwritesOnce) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	v, err := s.Store.Create(ctx, key, data)
	return s.refuse(ctx, storagetest.Create, key, data, v, err)
}

func (s *overwritesOnce) Replace(ctx context.Context, key string, old storage.Version, data []byte,
) (storage.Version, error) {
	v, err := s.Store.Replace(ctx, key, old, data)
	return s.refuse(ctx, storagetest.Replace, key, data, v, err)
}

func (s *overwritesOnce) refuse(ctx context.Context, verb storagetest.Verb, key string, data []byte, v storage.Version,
	err error,
) (storage.Version, error) {
	if err == nil || verb != s.verb {
		return v, err
	}
	s.once.Do(func() {
		_, _ = overwrites{s.Store}.Replace(ctx, key, storage.Absent, data)
		err = errors.New("answer lost")
	})
	return v, err
}

// overwrites is a store that heeds no condition.
type overwrites struct{ storage.Store }

func (s overwrites) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return s.Replace(ctx, key, storage.Absent, data)
}

func (s overwrites) Replace(ctx context.Context, key string, _ storage.Version, data []byte) (storage.Version, error) {
	for {
		current, err := s.Get(ctx, key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return storage.Absent, err
		}
		version, err := s.Store.Replace(ctx, key, current.Version, data)
		if !errors.Is(err, storage.ErrConflict) {
			return version, err
		}
	}
}

func TestProbeSaysWhyItsContextEndedAndWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		s := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}),
			func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Before: down} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := storage.Probe(ctx, s, storage.ProbeOptions{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, down)
		require.NotErrorIs(t, err, storage.ErrNoAtomicWrites)
		assert.Less(t, len(s.Calls()), 2000)
	})
}

func TestProbeStaysUnderItsPrefixAndCleansUp(t *testing.T) {
	m := storage.NewMemory(storage.MemoryOptions{})
	_, err := m.Create(t.Context(), "mine", []byte("x"))
	require.NoError(t, err)
	s := storagetest.NewFlaky(m, nil)
	require.NoError(t, storage.Probe(t.Context(), s, storage.ProbeOptions{Prefix: "scratch/of-"}))
	for _, c := range s.Calls() {
		require.Regexp(t, "^scratch/of-", c.Key)
	}
	keys, err := m.List(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, []string{"mine"}, keys)
}

func TestProbeEndsWithItsContextAndStillCleansUp(t *testing.T) {
	m := storage.NewMemory(storage.MemoryOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	s := storagetest.NewFlaky(m, func(c storagetest.Call) storagetest.Fault {
		if c.N == 12 { // after the first race
			cancel()
			return storagetest.Fault{Hang: true}
		}
		return storagetest.Fault{}
	})
	err := storage.Probe(ctx, s, storage.ProbeOptions{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, storage.ErrNoAtomicWrites)
	keys, err := m.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, keys)
}

func TestProbeNeedsNoDeleter(t *testing.T) {
	s := struct{ storage.Store }{storage.NewMemory(storage.MemoryOptions{})}
	require.NoError(t, storage.Probe(t.Context(), s, storage.ProbeOptions{}))
}

func TestProbeRefusesAPrefixOfNoKey(t *testing.T) {
	err := storage.Probe(t.Context(), storage.NewMemory(storage.MemoryOptions{}), storage.ProbeOptions{Prefix: "../"})
	require.ErrorIs(t, err, storage.ErrInvalidKey)
}
