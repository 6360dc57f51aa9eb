package storage_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestProbeTellsAFailureFromABreach(t *testing.T) {
	honest := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), nil)
	require.NoError(t, storage.Probe(t.Context(), honest, storage.ProbeOptions{}))
	calls := len(honest.Calls())
	require.Greater(t, calls, 100)

	broken := errors.New("broken")
	for n := 1; n <= calls; n++ {
		for name, fault := range map[string]storagetest.Fault{"before": {Before: broken}, "after": {After: broken}} {
			failed := storagetest.Delete
			s := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(c storagetest.Call) storagetest.Fault {
				if c.N != n {
					return storagetest.Fault{}
				}
				failed = c.Verb
				return fault
			})
			err := storage.Probe(t.Context(), s, storage.ProbeOptions{})
			if failed == storagetest.Delete {
				require.NoError(t, err, "what cannot be deleted stays")
				continue
			}
			require.ErrorIs(t, err, broken, "call %d fails %s it landed", n, name)
			require.NotErrorIs(t, err, storage.ErrNoAtomicWrites)
		}
	}
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
