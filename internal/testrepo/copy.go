package testrepo

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

// Copy copies the repository into a memory store of its own. The copy shares r's keys, so neither
// may be rotated afterwards.
func (r *Repo) Copy(t testing.TB) *Repo {
	t.Helper()
	store := storage.NewMemory(storage.MemoryOptions{})
	names, err := r.Store.(storage.Lister).List(t.Context(), "")
	require.NoError(t, err)
	for _, name := range names {
		_, err := store.Create(t.Context(), name, r.Read(t, name))
		require.NoError(t, err)
	}
	c := *r
	c.Store = store
	return &c
}

// Copy returns a client that trusts the same files as c and reads another store. c must have a
// cache.
func (c *Client) Copy(t testing.TB, store storage.Store) *Client {
	t.Helper()
	copied := NewClient(t, store, c.fetch.app, c.config.LocalTrustedRoot, true)
	require.NoError(t, os.CopyFS(copied.config.LocalMetadataDir, os.DirFS(c.config.LocalMetadataDir)))
	return copied
}
