package riverpostgres_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riverpostgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The integration module tests the store on a real Postgres.
func TestNoErrorShowsAPassword(t *testing.T) {
	for _, url := range []string{
		"", "\x7f", "u:hush@host", "mysql://u:hush@host/db", "postgres://u:hush@[::1/db", "postgres://u:hush@host:port/db",
		"postgres://u:hush@127.0.0.1:1/db", "Postgres://u:x@hush@127.0.0.1:1/db", "postgresql://u:hush@127.0.0.1:1/db",
		"postgres://u:hush@127.0.0.1:1/db?pool_max_conns=1",
	} {
		_, err := riverpostgres.Open(t.Context(), url, rivertasks.Options{})
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "hush")
		_, err = tasks.Open(t.Context(), url, riverpostgres.Driver(rivertasks.Options{}))
		require.ErrorContains(t, err, "task store", url)
		assert.NotContains(t, err.Error(), "hush")
	}
}

func TestTooFewConnectionsAreRefused(t *testing.T) {
	_, err := riverpostgres.Open(t.Context(), "postgres://u@127.0.0.1:1/db?pool_max_conns=2", rivertasks.Options{})
	require.ErrorContains(t, err, "pool_max_conns is 2")
}

func TestOptionsAreNotNegative(t *testing.T) {
	_, err := riverpostgres.Open(t.Context(), "postgres://u@127.0.0.1:1/db", rivertasks.Options{Workers: -1})
	require.ErrorContains(t, err, "negative")
}

func TestThePackageLinksNoSQLite(t *testing.T) {
	linked, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(linked), "github.com/jackc/pgx/v5")
	for _, other := range []string{"modernc.org", "river/riverdriver/riversqlite"} {
		if strings.Contains(string(linked), other) {
			t.Errorf("it links %s", other)
		}
	}
}
