package integration_test

import (
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
	"github.com/tufonline/tufonline/storage/sqlstore/postgresstore"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestPostgresPassesTheSuiteOfStores(t *testing.T) {
	db := pgserver.Start(t)
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		schema := "s" + strings.ReplaceAll(uuid.NewString(), "-", "")
		sql(t, db, "CREATE SCHEMA "+schema)
		place := db + "&search_path=" + schema
		if limit > 0 {
			place += "&limit=" + strconv.FormatInt(limit, 10)
		}
		return func() storage.Store { return openObjects(t, place) }
	})
}

// openObjects opens the objects in a Postgres database.
func openObjects(t testing.TB, place string) storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), place, postgresstore.Drivers()...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.(io.Closer).Close()) })
	return s
}

// Many processes may start at once on an empty database.
func TestObjectsOnPostgresAreOpenedAtOnce(t *testing.T) {
	db := pgserver.Start(t)
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			s, err := postgresstore.Open(t.Context(), db, sqlstore.Options{})
			if assert.NoError(t, err) {
				assert.NoError(t, s.Close())
			}
		})
	}
	opening.Wait()
}

func TestADatabaseThatMayLoseWritesIsRefused(t *testing.T) {
	db := pgserver.Start(t)
	name := strings.TrimPrefix(mustParse(t, db).Path, "/")
	sql(t, db, "ALTER DATABASE "+name+" SET synchronous_commit = off")
	_, err := postgresstore.Open(t.Context(), db, sqlstore.Options{})
	require.ErrorContains(t, err, "synchronous_commit is off")
	s, err := postgresstore.Open(t.Context(), db+"&synchronous_commit=on", sqlstore.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// A role that may read and write, but not create, is enough once there is a table.
func TestTheTableOnPostgresIsCreatedOnce(t *testing.T) {
	db := pgserver.StartServer(t).URL() // roles belong to a server
	openObjects(t, db)
	const name = "tufonline"
	sql(t, db, "CREATE ROLE "+name+" LOGIN")
	sql(t, db, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	sql(t, db, "GRANT SELECT, INSERT, UPDATE ON "+sqlstore.Table+" TO "+name)
	place := mustParse(t, db)
	place.User = url.User(name)
	s := openObjects(t, place.String())
	version, err := s.Create(t.Context(), "key", []byte("1"))
	require.NoError(t, err)
	_, err = s.Replace(t.Context(), "key", version, []byte("2"))
	require.NoError(t, err)
}

func mustParse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}
