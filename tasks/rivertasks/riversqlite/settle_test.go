package riversqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// The answer of the first call may be lost.
func TestAnOutcomeThatIsSettledTwiceIsSettledOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tasks.db")
	s, err := Open(t.Context(), path, rivertasks.Options{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.Close()) }()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: "a", App: "acme", Roles: []string{"timestamp"}}))
	db, err := sql.Open("sqlite", dataSource(path))
	require.NoError(t, err)
	defer func() { assert.NoError(t, db.Close()) }()
	begun := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	// The rescuer's error is of the same attempt. It is not the outcome's.
	_, err = db.ExecContext(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = ?,
		errors = jsonb('[{"at":"2026-01-01T00:00:00Z","attempt":1,"error":"rescued","trace":""}]')`, begun.Format(timeFormat))
	require.NoError(t, err)

	o := rivertasks.Outcome{Row: 1, Attempt: 1, Begun: begun, State: rivertype.JobStateAvailable, Pause: time.Minute,
		Attempts: 1, Output: []byte(`{"attempt":1}`),
		Error: []byte(`{"at":"2026-01-02T03:04:05.123456789Z","attempt":1,"error":"d\u00f6wn\\ \u003c\"","trace":""}`)}
	settled, err := database{db}.Settle(t.Context(), o)
	require.NoError(t, err)
	assert.True(t, settled)
	settled, err = database{db}.Settle(t.Context(), o)
	require.NoError(t, err)
	assert.False(t, settled)
	var entries int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT json_array_length(errors) FROM river_job`).Scan(&entries))
	assert.Equal(t, 2, entries)
}
