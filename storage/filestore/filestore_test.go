//go:build unix

package filestore

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		dir := t.TempDir()
		return func() storage.Store { return newStore(t, dir, Options{Limit: limit}) }
	})
}

func newStore(t *testing.T, dir string, opts Options) *Store {
	t.Helper()
	s, err := New(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestObjectsArePlainFiles(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir, Options{})
	_, err := s.Create(t.Context(), "acme/app/1.root.json", []byte("root"))
	require.NoError(t, err)

	data, err := os.ReadFile(filepath.Join(dir, "acme/app/1.root.json"))
	require.NoError(t, err)
	assert.Equal(t, "root", string(data))
	for name, mode := range map[string]os.FileMode{"acme/app/1.root.json": 0o644, "acme/app": 0o755, "acme": 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&^mode, "%s has no more rights than %o", name, mode)
	}
	work, err := os.ReadDir(filepath.Join(dir, "acme/app", workDir))
	require.NoError(t, err)
	assert.Empty(t, work, "what was being written is gone")
}

func TestReservedNamesAreNoKeys(t *testing.T) {
	s := newStore(t, t.TempDir(), Options{})
	first, err := s.Create(t.Context(), "app/file", []byte("x"))
	require.NoError(t, err)
	_, err = s.Replace(t.Context(), "app/file", first, []byte("y")) // makes the lock file
	require.NoError(t, err)
	for _, key := range []string{workDir, "app/" + workDir, "app/" + workDir + "/" + lockName, "app/.FileStore/x",
		workDir + "/new-1"} {
		_, err := s.Get(t.Context(), key)
		require.ErrorIs(t, err, storage.ErrInvalidKey, key)
		_, err = s.Create(t.Context(), key, []byte("x"))
		require.ErrorIs(t, err, storage.ErrInvalidKey, key)
		_, err = s.Replace(t.Context(), key, storage.Absent, []byte("x"))
		require.ErrorIs(t, err, storage.ErrInvalidKey, key)
		require.ErrorIs(t, s.Delete(t.Context(), key), storage.ErrInvalidKey, key)
	}
	listed, err := s.List(t.Context(), "app/"+workDir)
	require.NoError(t, err)
	assert.Empty(t, listed)
}

func TestSymbolicLinksLeadNowhereOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "folder")))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "file")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "app"), 0o755))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "app", workDir)))
	s := newStore(t, dir, Options{})

	for _, key := range []string{"folder/secret", "folder/new", "file"} {
		_, err := s.Get(t.Context(), key)
		requireFailure(t, err)
		_, err = s.Create(t.Context(), key, []byte("x"))
		requireFailure(t, err)
		_, err = s.Replace(t.Context(), key, "version", []byte("x"))
		requireFailure(t, err)
	}
	_, err := s.Create(t.Context(), "app/key", []byte("x"))
	requireFailure(t, err)
	require.Error(t, s.Delete(t.Context(), "folder/secret"))
	listed, err := s.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, listed)

	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing was made outside")
	data, err := os.ReadFile(secret)
	require.NoError(t, err)
	assert.Equal(t, "secret", string(data))
}

// requireFailure wants an error that says nothing of an object.
func requireFailure(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for _, sentinel := range []error{storage.ErrNotFound, storage.ErrExists, storage.ErrConflict} {
		require.NotErrorIs(t, err, sentinel)
	}
}

func TestWhereNoObjectCanBe(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir, Options{})
	_, err := s.Create(t.Context(), "app/3.snapshot.json/x", []byte("x"))
	require.NoError(t, err)

	folder, below := "app/3.snapshot.json", "app/3.snapshot.json/x/y"
	long := strings.Repeat("n", 256)
	for _, key := range []string{folder, below, below + "/z", long, "app/" + long + "/x"} {
		_, err = s.Get(t.Context(), key)
		require.ErrorIs(t, err, storage.ErrInvalidKey, key)
		for _, old := range []storage.Version{storage.Absent, "version"} {
			_, err = s.Replace(t.Context(), key, old, []byte("x"))
			require.ErrorIs(t, err, storage.ErrInvalidKey, key)
		}
		_, err = s.Create(t.Context(), key, []byte("x"))
		if key == folder {
			require.ErrorIs(t, err, storage.ErrExists)
			require.ErrorContains(t, err, "a folder has that name")
			continue
		}
		require.ErrorIs(t, err, storage.ErrInvalidKey, key)
	}
	require.ErrorContains(t, s.Delete(t.Context(), folder), "folder")
	require.NoError(t, s.Delete(t.Context(), below))
	object, err := s.Get(t.Context(), "app/3.snapshot.json/x")
	require.NoError(t, err)
	assert.Equal(t, "x", string(object.Data))
}

func TestWhatIsNeitherFileNorFolderIsAFailure(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	s := newStore(t, dir, Options{})
	_, err := s.Get(t.Context(), "pipe")
	requireFailure(t, err)
	require.ErrorContains(t, err, "no file")
	for _, key := range []string{"pipe", "dangling"} {
		_, err = s.Create(t.Context(), key, []byte("x"))
		requireFailure(t, err)
		_, err = s.Replace(t.Context(), key, storage.Absent, []byte("x"))
		requireFailure(t, err)
	}
	_, err = s.Replace(t.Context(), "pipe", "version", []byte("x"))
	requireFailure(t, err)
}

func TestADirectoryThatWasRemovedProvesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := newStore(t, dir, Options{CreateDir: true})
	_, err := s.Get(t.Context(), "key")
	require.ErrorIs(t, err, storage.ErrNotFound)

	require.NoError(t, os.RemoveAll(dir))
	_, err = s.Get(t.Context(), "key")
	requireFailure(t, err)
	require.ErrorContains(t, err, "removed")
	_, err = s.Create(t.Context(), "key", []byte("x"))
	requireFailure(t, err)
}

func TestAReplaceNeedsTheDirectoryThatOthersSee(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := newStore(t, dir, Options{CreateDir: true})
	version, err := s.Create(t.Context(), "key", []byte("1"))
	require.NoError(t, err)

	// With another directory in its place, a lock by path would not keep those apart who opened it
	// before.
	require.NoError(t, os.Rename(dir, dir+".old"))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, workDir), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, workDir, lockName), nil, 0o644))
	_, err = s.Replace(t.Context(), "key", version, []byte("2"))
	requireFailure(t, err)
	require.ErrorContains(t, err, "moved")
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	one, other := newStore(t, dir, Options{}), newStore(t, dir, Options{})
	version, err := one.Create(t.Context(), "app/key", []byte("1"))
	require.NoError(t, err)
	unlock, err := one.lock(t.Context(), "app")
	require.NoError(t, err)

	for name, s := range map[string]*Store{"this handle": one, "another": other} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err = s.Replace(ctx, "app/key", version, []byte("2"))
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
	}
	_, err = other.Create(t.Context(), "app/another", []byte("1"))
	require.NoError(t, err, "creating takes no lock")

	unlock()
	_, err = other.Replace(t.Context(), "app/key", version, []byte("2"))
	require.NoError(t, err)
}

func TestWhatACrashLeftBehindIsHarmlessAndRemoved(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir, Options{})
	version, err := s.Create(t.Context(), "app/key", []byte("1"))
	require.NoError(t, err)
	work := filepath.Join(dir, "app", workDir)
	old, fresh := filepath.Join(work, tempPrefix+"old"), filepath.Join(work, tempPrefix+"fresh")
	require.NoError(t, os.WriteFile(old, []byte("half"), 0o644))
	require.NoError(t, os.WriteFile(fresh, []byte("half"), 0o644))
	longAgo := time.Now().Add(-2 * tempLife)
	require.NoError(t, os.Chtimes(old, longAgo, longAgo))

	listed, err := s.List(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, []string{"app/key"}, listed)
	_, err = s.Replace(t.Context(), "app/key", version, []byte("2"))
	require.NoError(t, err)
	assert.NoFileExists(t, old)
	assert.FileExists(t, fresh, "it may belong to a writer that is alive")
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir, Options{})
	_, err := s.Create(t.Context(), "app/key", []byte("1"))
	require.NoError(t, err)
	_, err = s.Create(t.Context(), "app/key", []byte("2"))
	require.ErrorIs(t, err, storage.ErrExists)
	_, err = s.Create(t.Context(), "app/"+strings.Repeat("k", 300), []byte("x")) // longer than a file's name may be
	requireFailure(t, err)
	left, err := os.ReadDir(filepath.Join(dir, "app", workDir))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestURL(t *testing.T) {
	base := t.TempDir()
	t.Chdir(base)
	for name, url := range map[string]string{
		"absolute":    "file://" + base + "/a/b?create_dir=true",
		"localhost":   "file://localhost" + base + "/a/b",
		"relative":    "file://./a/b",
		"with limit":  "file://" + base + "/a/b?limit=100&create_dir=false",
		"with spaces": "file://" + base + "/a/b%20c?create_dir=true",
	} {
		t.Run(name, func(t *testing.T) {
			if name != "absolute" {
				require.NoError(t, os.MkdirAll(filepath.Join(base, "a/b"), 0o755))
			}
			s, err := storage.Open(t.Context(), url, Driver())
			require.NoError(t, err)
			store := s.(*Store)
			defer store.Close()
			want := filepath.Join(base, "a/b")
			if name == "with spaces" {
				want = filepath.Join(base, "a/b c")
			}
			assert.Equal(t, want, store.root.Name())
		})
	}
	for url, says := range map[string]string{
		"file://" + base + "/none":             "no such file",
		"file://" + base + "?create=true":      `"create"`,
		"file://" + base + "?create_dir=maybe": "create_dir",
		"file://host/dir":                      "three slashes",
		"file://":                              "path",
		"file://" + base + "?limit=-1":         "limit",
		"file://" + base + "?limit=1&limit=2":  "limit",
	} {
		_, err := storage.Open(t.Context(), url, Driver())
		require.ErrorContains(t, err, says, url)
	}
}
