package postgresstore_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
	"github.com/tufonline/tufonline/storage/sqlstore/postgresstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The integration module tests the store on a real Postgres.
func TestNoErrorShowsAPassword(t *testing.T) {
	for _, url := range []string{
		"", "\x7f", "u:hush@host", "mysql://u:hush@host/db", "postgres://u:hush@[::1/db", "postgres://u:hush@host:port/db",
		"postgres://u:hush@127.0.0.1:1/db", "Postgres://u:x@hush@127.0.0.1:1/db", "postgresql://u:hush@127.0.0.1:1/db",
		"postgres://u:hush@127.0.0.1:1/db?pool_max_conns=none",
	} {
		_, err := postgresstore.Open(t.Context(), url, sqlstore.Options{})
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "hush")
		_, err = storage.Open(t.Context(), url, postgresstore.Drivers()...)
		require.ErrorContains(t, err, "storage URL", url)
		assert.NotContains(t, err.Error(), "hush")
	}
}
