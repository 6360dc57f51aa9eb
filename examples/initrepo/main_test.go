package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/newrepo"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/tufupdate"
)

// arguments returns the flags for a repository in dir, and more.
func arguments(dir string, more ...string) []string {
	return append([]string{
		"-app", "acme/desktop", "-store", "file://" + dir + "/store?create_dir=true",
		"-root-keys", dir + "/root-keys", "-keys", dir + "/keys", "-roots", dir + "/roots",
	}, more...)
}

func open(t *testing.T, dir string) storage.Store {
	t.Helper()
	store, err := storage.Open(t.Context(), "file://"+dir+"/store", filestore.Driver())
	require.NoError(t, err)
	return store
}

func TestANewRepositoryCanBeRolledAndIsTrustedByClients(t *testing.T) {
	for _, keyType := range []string{newrepo.Ed25519, newrepo.ECDSA, newrepo.RSA} {
		t.Run(keyType, func(t *testing.T) {
			dir := t.TempDir()
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), arguments(dir, "-key-type", keyType, "-root-count", "3", "-threshold", "2"),
				&out, &out))
			assert.Contains(t, out.String(), dir+"/roots/acme/desktop.json")

			root, err := os.ReadFile(dir + "/roots/acme/desktop.json")
			require.NoError(t, err)
			store := open(t, dir)
			client := testrepo.NewClient(t, store, "acme/desktop", root, true)
			require.NoError(t, client.Refresh())

			provider, err := keys.NewDir(dir+"/keys", keys.DirOptions{})
			require.NoError(t, err)
			updater, err := tufupdate.New(tufupdate.Config{
				Store: store, Keys: provider, Roots: tufupdate.PinnedRoot(root),
			})
			require.NoError(t, err)
			result, err := updater.Roll(t.Context(), "acme/desktop", nil)
			require.NoError(t, err)
			assert.Equal(t, []string{"targets", "snapshot", "timestamp"}, result.Roles)
			require.NoError(t, client.Refresh())

			assert.Len(t, keyFiles(t, dir+"/root-keys"), 3)
			assert.Len(t, keyFiles(t, dir+"/keys/acme/desktop"), 3)
		})
	}
}

// keyFiles returns the names of the files in dir, which only their owner can read.
func keyFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode())
		names = append(names, e.Name())
	}
	return names
}

func TestAnOfflineTargetsKeyLiesWithTheRootKeys(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), arguments(dir, "-targets-offline"), &bytes.Buffer{}, &bytes.Buffer{}))
	assert.Len(t, keyFiles(t, dir+"/root-keys"), 2)
	assert.Len(t, keyFiles(t, dir+"/keys/acme/desktop"), 2)
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), arguments(dir), &bytes.Buffer{}, &bytes.Buffer{}))
	before := tree(t, dir)
	require.ErrorIs(t, run(t.Context(), arguments(dir), &bytes.Buffer{}, &bytes.Buffer{}), newrepo.ErrExists)
	other := arguments(dir, "-roots", dir+"/other")
	require.ErrorIs(t, run(t.Context(), other, &bytes.Buffer{}, &bytes.Buffer{}), newrepo.ErrExists)
	assert.Equal(t, before, tree(t, dir))
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	}))
	return files
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, more := range map[string][]string{
		"threshold above the keys": {"-threshold", "2"},
		"no threshold":             {"-threshold", "0"},
		"unknown key type":         {"-key-type", "dsa"},
		"app outside":              {"-app", "../x"},
		"no validity":              {"-timestamp-days", "0"},
		"unknown store":            {"-store", "ftp://x"},
		"same folder for keys":     {"-keys", "same", "-root-keys", "same"},
		"an argument":              {"something"},
		"no app":                   {"-app", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.Error(t, run(t.Context(), arguments(dir, more...), &bytes.Buffer{}, &bytes.Buffer{}))
			for file := range tree(t, dir) {
				assert.Fail(t, "it made a file", file)
			}
		})
	}
}
