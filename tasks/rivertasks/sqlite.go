package rivertasks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	_ "modernc.org/sqlite" // the driver, without cgo
)

type sqlite struct {
	*river.Client[*sql.Tx]
	driver *riversqlite.Driver
	db     *sql.DB
}

// openSQLite opens a file, which is made if it is not there.
func openSQLite(ctx context.Context, u *url.URL, log *slog.Logger) (database, error) {
	path := u.Host + u.Path
	if u.Host != "" && u.Host != "." || u.Path == "" || strings.HasSuffix(path, "/") || u.User != nil ||
		u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, errors.New("the URL is not of the form sqlite:///path/to/file (or sqlite://./path/to/file)")
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(),
		RawQuery: url.Values{
			"_pragma": {"busy_timeout(30000)", "journal_mode(WAL)", "synchronous(FULL)"}, // what is committed stays
			// a transaction that is upgraded does not wait
			"_txlock": {"immediate"},
		}.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // of one process; there is one writer at a time anyway
	s, err := newSQLite(ctx, db, log)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// create makes a file that others cannot read, as SQLite would let them. One that is there is not
// touched: to close it would take away the locks that this process may have on it.
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

func newSQLite(ctx context.Context, db *sql.DB, log *slog.Logger) (*sqlite, error) {
	driver := riversqlite.New(db)
	if err := migrateSQLite(ctx, db, driver, log); err != nil {
		return nil, fmt.Errorf("migrating: %w", err)
	}
	inserter, err := river.NewClient(driver, &river.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	return &sqlite{inserter, driver, db}, nil
}

func (s *sqlite) find(ctx context.Context, id string) (*rivertype.JobRow, error) {
	const query = `SELECT id FROM river_job WHERE kind = '` + kind + `' AND json_extract(args, '$.id') = ?`
	var row int64
	err := s.db.QueryRowContext(ctx, query, id).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		err = rivertype.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s.JobGet(ctx, row)
}

func (s *sqlite) client(config *river.Config) (client, error) {
	return river.NewClient(s.driver, config)
}

// Close closes the file.
func (s *sqlite) Close() error { return s.db.Close() }

// migrateSQLite brings the tables up to date. If others do the same, it fails where they were
// faster, and finds on the next try what they have done.
func migrateSQLite(ctx context.Context, db *sql.DB, driver *riversqlite.Driver, log *slog.Logger) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		if err == nil {
			break
		}
		if try == migrations || ctx.Err() != nil {
			return err
		}
		time.Sleep(migrationPause)
	}
	const index = `CREATE INDEX IF NOT EXISTS tuf_online_task ON river_job (json_extract(args, '$.id')) WHERE kind = '` +
		kind + `'`
	_, err = db.ExecContext(ctx, index)
	return err
}

const (
	migrations     = 20 // tries
	migrationPause = 50 * time.Millisecond
)
