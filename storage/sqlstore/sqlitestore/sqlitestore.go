// Package sqlitestore opens a store in a SQLite file, for the processes of one machine.
package sqlitestore

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

	"modernc.org/sqlite" // a driver of database/sql without cgo
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
)

// Driver opens URLs such as sqlite:///var/lib/tuf/memory.db. In sqlite://./memory.db the path is
// relative to the working directory.
func Driver() storage.Driver { return storage.Driver{Scheme: "sqlite", Open: open} }

func open(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
	if err := storage.CheckParams(u); err != nil {
		return nil, err
	}
	if u.Host != "" && u.Host != "." {
		return nil, errors.New("not of the form sqlite:///path/to/file (or sqlite://./path/to/file)")
	}
	store, err := Open(ctx, u.Host+u.Path, sqlstore.Options{Limit: limit})
	if err != nil {
		return nil, err // not store, which would be a Store that is not nil
	}
	return store, nil
}

// Open opens the store in a file, and creates the file if it does not exist. Only its owner may
// read it. Other tables in the file are left alone, and other processes may use the file at once.
// The caller closes the store.
func Open(ctx context.Context, path string, opts sqlstore.Options) (*sqlstore.Store, error) {
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
	store, err := sqlstore.New(ctx, db, sqlstore.Dialect{Key: "TEXT", Bytes: "BLOB", Again: isBusy}, opts)
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
		// The time is short since SQLite does not look at a context while it waits. The store tries
		// again. With synchronous(FULL) a commit is durable.
		"_pragma": {"busy_timeout(200)", "journal_mode(WAL)", "synchronous(FULL)"},
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: settings.Encode()}
	return u.String()
}

// isBusy reports whether another connection was in the way.
func isBusy(err error) bool {
	failure, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	code := failure.Code() & 0xff // without what SQLite adds to it
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}
