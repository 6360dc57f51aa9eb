package tufupdate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage/filestore"
)

// An attacker who can write to the store, which is a folder, makes a folder where the next snapshot
// has to be.
func TestAFolderWhereASnapshotHasToBeIsSkipped(t *testing.T) {
	store, err := filestore.New(t.TempDir(), filestore.Options{})
	require.NoError(t, err)
	defer store.Close()
	repo := testrepo.New(t, store, testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t, "targets"))
	roll(t, u, repo)
	_, err = store.Create(t.Context(), repo.App+"/3.snapshot.json/x", []byte("x"))
	require.NoError(t, err)
	assert.EqualValues(t, 4, roll(t, u, repo).Versions["snapshot"])
	assert.EqualValues(t, 5, roll(t, newUpdater(t, repo, repo.Provider(t, "targets")), repo).Versions["snapshot"])
	require.NoError(t, newClient(t, repo).Refresh())
}
