// Package storagetest holds [Run], the suite that every storage.Store passes, and [Flaky], a store
// that fails on purpose.
package storagetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
)

// A Backend makes a place for objects that nobody has used yet, for one test, and returns what
// opens a handle on it: each call another one, as another process would have. Only a
// storage.SingleProcess returns the same handle each time. limit is the limit of each handle in
// bytes, or 0 for the default. What has to be closed is closed by t.Cleanup.
type Backend func(t *testing.T, limit int64) (open func() storage.Store)

// Run checks a store against what package storage promises. It is joined in a few lines:
//
//	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
//		dir := t.TempDir()
//		return func() storage.Store {
//			s, err := filestore.New(dir, filestore.Options{Limit: limit})
//			require.NoError(t, err)
//			t.Cleanup(func() { s.Close() })
//			return s
//		}
//	})
func Run(t *testing.T, backend Backend) {
	for _, rule := range []struct {
		name  string
		check func(*testing.T, Backend)
	}{
		{"a missing object is not found", missing},
		{"what is written is read, by every handle", roundTrip},
		{"create does not overwrite", createOnce},
		{"replace swaps the version it was given, and no other", replaceGiven},
		{"replace makes what is absent", replaceAbsent},
		{"a write whose answer was lost can be repeated", lostAnswer},
		{"every valid key is taken", goodKeys},
		{"no other key is", badKeys},
		{"an object whose key is a folder is taken, or exists", folders},
		{"objects may be empty or large", sizes},
		{"what is over the limit is too large to read", limits},
		{"bytes belong to the caller", ownership},
		{"deleting", deleting},
		{"listing", listing},
		{"a context that has ended stops every call", ended},
		{"a write that is cancelled lands whole or not at all", cancelled},
		{"a write that was given up does not land over a later one", givenUp},
		{"of racing creates one wins", racingCreates},
		{"of racing replaces one wins", racingReplaces},
		{"racing writers of the same bytes all succeed", racingTwins},
		{"readers see one write or another", readers},
		{"a counter loses no step", counter},
		{"a probe finds nothing", probed},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.check(t, backend) })
	}
}

// single is one handle on a backend of its own.
func single(t *testing.T, backend Backend) storage.Store { return backend(t, 0)() }

// holds checks what a handle reads.
func holds(t *testing.T, s storage.Store, key string, data []byte) storage.Version {
	t.Helper()
	object, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, object.Data, len(data), "bytes at %s", key)
	// which are not shown
	require.Equal(t, content.Hash(data), content.Hash(object.Data), "%s holds other bytes than were written", key)
	require.NotEqual(t, storage.Absent, object.Version, "version of %s", key)
	return object.Version
}

func holdsNothing(t *testing.T, s storage.Store, key string) {
	t.Helper()
	_, err := s.Get(t.Context(), key)
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func create(t *testing.T, s storage.Store, key string, data []byte) storage.Version {
	t.Helper()
	version, err := s.Create(t.Context(), key, data)
	require.NoError(t, err)
	require.NotEqual(t, storage.Absent, version)
	return version
}

func replace(t *testing.T, s storage.Store, key string, old storage.Version, data []byte) storage.Version {
	t.Helper()
	version, err := s.Replace(t.Context(), key, old, data)
	require.NoError(t, err)
	require.NotEqual(t, storage.Absent, version)
	return version
}
