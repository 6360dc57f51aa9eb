// Package riversqlite opens a task store in a SQLite file, for the processes of one machine.
package riversqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	_ "modernc.org/sqlite" // a driver of database/sql without cgo

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// Driver opens URLs such as sqlite:///var/lib/tuf/tasks.db. In sqlite://./tasks.db the path is
// relative to the working directory.
func Driver(opts rivertasks.Options) tasks.Driver {
	return tasks.Driver{Schemes: []string{"sqlite"}, Open: func(ctx context.Context, u *url.URL) (tasks.Store, error) {
		if u.Host != "" && u.Host != "." || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
			return nil, errors.New("the URL is not of the form sqlite:///path/to/file (or sqlite://./path/to/file)")
		}
		store, err := Open(ctx, u.Host+u.Path, opts)
		if err != nil {
			return nil, err // not store, which would be a Store that is not nil
		}
		return store, nil
	}}
}

// Open opens the store in a file, and creates the file if it does not exist. Only its owner may
// read it. Open brings the tables up to date. Other processes may do the same at once. The caller
// closes the store.
func Open(ctx context.Context, path string, opts rivertasks.Options) (*rivertasks.Store, error) {
	if path == "" || strings.HasSuffix(path, "/") {
		return nil, fmt.Errorf("path %q names no file", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer at a time
	driver := riversqlite.New(db)
	store, err := rivertasks.New(driver, database{db}, opts)
	if err == nil {
		err = migrate(ctx, db, driver, opts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("SQLite file %s: %w", path, err), db.Close())
	}
	return store, nil
}

// create creates a file that only its owner may read, which SQLite would not. It does not open an
// existing file: closing it would release the locks that this process may hold on it.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// dataSource returns SQLite's name for a file, with the settings of each connection.
func dataSource(path string) string {
	settings := url.Values{
		// With synchronous(FULL) a commit is durable.
		"_pragma": {"busy_timeout(30000)", "journal_mode(WAL)", "synchronous(FULL)"},
		// A transaction that becomes a writer later would not wait for the lock.
		"_txlock": {"immediate"},
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: settings.Encode()}
	return u.String()
}

const (
	migrations     = 20 // tries
	migrationPause = 50 * time.Millisecond
)

// migrate brings the tables up to date. It fails where another process is faster. The next try
// finds what the other process has done.
func migrate(ctx context.Context, db *sql.DB, driver *riversqlite.Driver, opts rivertasks.Options) error {
	for try := 1; ; try++ {
		err := rivertasks.Migrate(ctx, driver, opts)
		if err == nil {
			break
		}
		if try == migrations || ctx.Err() != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		select {
		case <-time.After(migrationPause):
		case <-ctx.Done():
		}
	}
	const index = `CREATE INDEX IF NOT EXISTS tuf_online_task ON river_job (json_extract(args, '$.id')) WHERE kind = '` +
		rivertasks.Kind + `'`
	_, err := db.ExecContext(ctx, index)
	return err
}

// A database is a rivertasks.Database.
type database struct{ db *sql.DB }

// Find implements rivertasks.Database.
func (d database) Find(ctx context.Context, id string) (row int64, err error) {
	const query = `SELECT id FROM river_job WHERE kind = '` + rivertasks.Kind + `' AND json_extract(args, '$.id') = ?`
	err = d.db.QueryRowContext(ctx, query, id).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		err = tasks.ErrNotFound
	}
	return row, err
}

// Settle implements rivertasks.Database.
func (d database) Settle(ctx context.Context, o rivertasks.Outcome) (settled bool, err error) {
	// River keeps times as text of this one form, and JSON in SQLite's binary form.
	const statement = `
		WITH own AS (
			SELECT id AS row, CASE WHEN ?4 = 'available' AND json_extract(metadata, '$.cancel_attempted_at') IS NOT NULL
				THEN 'cancelled' ELSE ?4 END AS ends
			FROM river_job
			WHERE id = ?1 AND attempt = ?2 AND attempted_at = ?3 AND finalized_at IS NULL
				AND NOT EXISTS (SELECT 1 FROM json_each(errors) AS entry WHERE entry.value = json(?8))
		)
		UPDATE river_job
		SET state = ends,
			scheduled_at = CASE WHEN ends = 'available' THEN datetime('now', 'subsec', ?5) ELSE scheduled_at END,
			finalized_at = CASE WHEN ends <> 'available' THEN datetime('now', 'subsec') END,
			attempt = ?6,
			metadata = CASE WHEN ?7 IS NULL THEN metadata ELSE jsonb_set(metadata, '$.output', jsonb(?7)) END,
			errors = CASE WHEN ?8 IS NULL THEN errors
				ELSE jsonb_insert(coalesce(errors, jsonb('[]')), '$[#]', jsonb(?8)) END
		FROM own
		WHERE id = row`
	result, err := d.db.ExecContext(ctx, statement, o.Row, o.Attempt, o.Begun.UTC().Format(timeFormat), string(o.State),
		fmt.Sprintf("%+.3f seconds", o.Pause.Seconds()), o.Attempts, text(o.Output), text(o.Error))
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

// timeFormat is the form of SQLite's datetime with subsec.
const timeFormat = "2006-01-02 15:04:05.000"

// text returns JSON as SQLite's text. Its blobs would be binary JSON.
func text(json []byte) sql.NullString {
	return sql.NullString{String: string(json), Valid: json != nil}
}

// Close implements rivertasks.Database.
func (d database) Close() error { return d.db.Close() }
