package sqlitestore_test

import (
	"context"
	"database/sql"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
	"github.com/tufonline/tufonline/storage/sqlstore/sqlitestore"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		path := newPath(t)
		return func() storage.Store { return open(t, path, sqlstore.Options{Limit: limit}) }
	})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "memory.db") }

func open(t testing.TB, path string, o sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// beside opens the file as another program would.
func beside(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

func TestAnObjectThatCameBackIsAnotherVersion(t *testing.T) {
	s := open(t, newPath(t), sqlstore.Options{})
	first, err := s.Create(t.Context(), "key", []byte("1"))
	require.NoError(t, err)
	second, err := s.Replace(t.Context(), "key", first, []byte("2"))
	require.NoError(t, err)
	third, err := s.Replace(t.Context(), "key", second, []byte("1"))
	require.NoError(t, err)
	assert.NotEqual(t, first, third)
	require.NoError(t, s.Delete(t.Context(), "key"))
	fourth, err := s.Create(t.Context(), "key", []byte("1"))
	require.NoError(t, err)
	for _, gone := range []storage.Version{first, second, third} {
		assert.NotEqual(t, gone, fourth)
		_, err = s.Replace(t.Context(), "key", gone, []byte("late"))
		require.ErrorIs(t, err, storage.ErrConflict)
	}
}

func TestAWriteOfTheSameBytesChangesNoVersion(t *testing.T) {
	s := open(t, newPath(t), sqlstore.Options{})
	first, err := s.Create(t.Context(), "key", []byte("1"))
	require.NoError(t, err)
	again, err := s.Replace(t.Context(), "key", first, []byte("1"))
	require.NoError(t, err)
	assert.Equal(t, first, again)
}

// The processes of a machine may start at once, and find no file.
func TestStoresOpenAtOnce(t *testing.T) {
	path := newPath(t)
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			s, err := sqlitestore.Open(t.Context(), path, sqlstore.Options{})
			if assert.NoError(t, err) {
				assert.NoError(t, s.Close())
			}
		})
	}
	opening.Wait()
}

func TestACallWaitsForAnotherWriterAndNoLongerThanItsContext(t *testing.T) {
	path := newPath(t)
	s := open(t, path, sqlstore.Options{})
	writer, err := beside(t, path).Conn(t.Context())
	require.NoError(t, err)
	defer writer.Close()
	_, err = writer.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err = s.Create(ctx, "key", []byte("1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begun), 5*time.Second)

	waited := make(chan error, 1)
	go func() {
		_, err := s.Create(t.Context(), "key", []byte("2"))
		waited <- err
	}()
	_, err = writer.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.NoError(t, <-waited)
}

func TestTheTableOfAnotherMakerIsRefused(t *testing.T) {
	path := newPath(t)
	_, err := beside(t, path).ExecContext(t.Context(), "CREATE TABLE "+sqlstore.Table+" (x INTEGER)")
	require.NoError(t, err)
	s, err := sqlitestore.Open(t.Context(), path, sqlstore.Options{})
	require.ErrorContains(t, err, "no such column")
	require.ErrorContains(t, err, path)
	assert.Nil(t, s)
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	path := newPath(t)
	_, err := open(t, path, sqlstore.Options{}).Create(t.Context(), "key", nil)
	require.NoError(t, err)
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Greater(t, len(files), 1, "the write-ahead log is a file too")
	for _, name := range files {
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestURL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20&e=ü.db")
	_, err := open(t, path, sqlstore.Options{}).Create(t.Context(), "key", []byte("data"))
	require.NoError(t, err)
	u := "sqlite://" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23", " ", "%20").Replace(path)
	for limit, want := range map[int]error{4: nil, 3: storage.ErrTooLarge} {
		s, err := storage.Open(t.Context(), u+"?limit="+strconv.Itoa(limit), sqlitestore.Driver())
		require.NoError(t, err)
		_, err = s.Get(t.Context(), "key")
		require.ErrorIs(t, err, want)
		require.NoError(t, s.(io.Closer).Close())
	}

	t.Chdir(t.TempDir())
	s, err := storage.Open(t.Context(), "sqlite://./memory.db", sqlitestore.Driver())
	require.NoError(t, err)
	require.NoError(t, s.(io.Closer).Close())
	assert.FileExists(t, "memory.db")

	for _, url := range []string{
		"sqlite:", "sqlite://", "sqlite:///", "sqlite://host/path", "sqlite:///folder/", "sqlite:///tmp/x?mode=memory",
		"sqlite:///tmp/x#y", "sqlite:memory.db", "sqlite:///no/such/folder/memory.db", "sqlite://u:hush@/x",
		"sqlite:///tmp/x?limit=-1",
	} {
		_, err := storage.Open(t.Context(), url, sqlitestore.Driver())
		require.ErrorContains(t, err, "storage URL sqlite:", url)
		assert.NotContains(t, err.Error(), "hush")
	}
	for _, path := range []string{"", "folder/", filepath.Join(t.TempDir(), "no", "such", "folder"), t.TempDir()} {
		_, err := sqlitestore.Open(t.Context(), path, sqlstore.Options{})
		require.Error(t, err, path)
	}
	_, err = sqlitestore.Open(t.Context(), newPath(t), sqlstore.Options{Limit: -1})
	require.ErrorContains(t, err, "limit")
}

func TestEachPackageLinksItsOwnDatabaseOnly(t *testing.T) {
	for name, others := range map[string][]string{
		"..":               {"modernc.org", "github.com/jackc/pgx"},
		".":                {"github.com/jackc/pgx"},
		"../postgresstore": {"modernc.org"},
	} {
		linked, err := exec.CommandContext(t.Context(), "go", "list", "-deps", name).Output()
		require.NoError(t, err)
		for _, other := range others {
			assert.NotContains(t, string(linked), other, name)
		}
	}
}
