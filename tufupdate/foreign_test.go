package tufupdate_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// Repositories that python-tuf made, with keys, hashes and names of kinds that other tools write:
// what one role has of them is its own trouble, and all else is rolled.
func TestRepositoriesOfPythonTUFAreRolled(t *testing.T) {
	for name, want := range map[string]struct {
		refused  string // what the error says; "" if the app is rolled
		warnings int
	}{
		"control-ok":                    {},
		"delegation-keyid-not-declared": {warnings: 1},
		"meta-hashes-sha384":            {},
		"role-keyid-not-among-keys":     {},
		"role-name-dotdot":              {warnings: 1},
		"role-name-slash":               {warnings: 1},
		"root-rsa-pkcs1v15":             {},
		"timestamp-rsa-pkcs1v15":        {refused: "rsa-pkcs1v15-sha256"},
		"timestamp-rsassa-pss-sha512":   {},
		"tuf-on-ci-expiry-period-hours": {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "repositories", name)
			root, err := os.ReadFile(filepath.Join(dir, "root.json"))
			require.NoError(t, err)
			provider, err := keys.NewDir(filepath.Join(dir, "keys"), keys.DirOptions{Shared: true}) // git keeps no 0600
			require.NoError(t, err)
			u, err := tufupdate.New(tufupdate.Config{
				Store: copied(t, filepath.Join(dir, "store")), Keys: provider, Roots: tufupdate.PinnedRoot(root),
				Logger: discard,
			})
			require.NoError(t, err)
			result, err := u.Roll(t.Context(), "app", nil)
			if want.refused != "" {
				require.ErrorContains(t, err, want.refused)
				return
			}
			require.NoError(t, err)
			assert.Positive(t, result.Versions["timestamp"])
			assert.Len(t, result.Warnings, want.warnings)
			again, err := u.Roll(t.Context(), "app", nil)
			require.NoError(t, err)
			assert.Equal(t, result.Versions["timestamp"]+1, again.Versions["timestamp"])
		})
	}
}

// copied returns a store with the files of a folder.
func copied(t *testing.T, dir string) storage.Store {
	t.Helper()
	store := storage.NewMemory(storage.MemoryOptions{})
	names, err := filepath.Glob(filepath.Join(dir, "app", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		_, err = store.Create(t.Context(), "app/"+filepath.Base(name), data)
		require.NoError(t, err)
	}
	return store
}
