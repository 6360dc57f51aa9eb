// Package sqlstore keeps objects in a table of a SQL database, for the processes of any number of
// machines. It is meant for a few small objects, such as what tufupdate.Config.Memory keeps, which
// so lie beside the tasks.
//
// The package links no database. sqlitestore opens a store in a file, for one machine.
// postgresstore opens one for many machines.
//
// Each write is one statement with a condition, so the database decides which of two writers is
// first. The version of an object is random and new with each write. An object that was deleted, or
// that came back to earlier bytes, is therefore another version.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// Table is the name of the table. Its columns are key, version and data.
const Table = "tufonline_objects"

// Options are optional.
type Options struct {
	Limit int64 // the size in bytes of the largest object that Get returns; 0 means storage.DefaultLimit
}

// A Dialect is what differs between databases. Parameters are $1, $2 and so on in each of them.
type Dialect struct {
	Key   string // type of the column of keys, which compares and sorts them by their bytes
	Bytes string // type of the column of objects

	// Again reports whether an error says that a statement has changed nothing and may succeed if
	// it is tried again, since another connection was in the way.
	Again func(err error) bool

	// Close, if not nil, is called once the store has closed the database.
	Close func()
}

// Store is a table. It is a Deleter and a Lister too.
type Store struct {
	db      *sql.DB
	dialect Dialect
	limit   int64
}

var (
	_ storage.Store   = (*Store)(nil)
	_ storage.Deleter = (*Store)(nil)
	_ storage.Lister  = (*Store)(nil)
)

// New returns the store in a database. It creates the table if there is none. The store closes db,
// unless New returns an error.
func New(ctx context.Context, db *sql.DB, dialect Dialect, opts Options) (*Store, error) {
	if opts.Limit < 0 {
		return nil, fmt.Errorf("limit of %d bytes", opts.Limit)
	}
	s := &Store{db, dialect, cmp.Or(opts.Limit, storage.DefaultLimit)}
	if err := s.createTable(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// createTable creates the table if there is none. Where there is one, it needs no right to create.
func (s *Store) createTable(ctx context.Context) error {
	return s.tries(ctx, func() error {
		if s.hasTable(ctx) == nil {
			return nil
		}
		_, err := s.db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+Table+" (key "+s.dialect.Key+
			" NOT NULL PRIMARY KEY, version TEXT NOT NULL, data "+s.dialect.Bytes+" NOT NULL)")
		if err == nil {
			err = s.hasTable(ctx)
		}
		if err != nil {
			return fmt.Errorf("creating table %s: %w", Table, err)
		}
		return nil
	})
}

// hasTable returns an error unless there is a table with these columns.
func (s *Store) hasTable(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, "SELECT key, version, data FROM "+Table+" WHERE key = ''")
	if err != nil {
		return err
	}
	return errors.Join(rows.Close(), rows.Err())
}

// Close closes the database.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.dialect.Close != nil {
		s.dialect.Close()
	}
	return err
}

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := begin(ctx, "get", key); err != nil {
		return storage.Object{}, err
	}
	object, err := s.read(ctx, key)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

// read reads an object that is not larger than the limit.
func (s *Store) read(ctx context.Context, key string) (storage.Object, error) {
	var object storage.Object
	var fits bool
	err := s.tries(ctx, func() error {
		return s.db.QueryRowContext(ctx, "SELECT version, length(data) <= CAST($2 AS BIGINT), "+
			"CASE WHEN length(data) <= CAST($2 AS BIGINT) THEN data END FROM "+Table+" WHERE key = $1", key, s.limit).
			Scan(&object.Version, &fits, &object.Data)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return storage.Object{}, storage.ErrNotFound
	case err != nil:
		return storage.Object{}, err
	case object.Version == storage.Absent:
		return storage.Object{}, fmt.Errorf("its row in %s has no version", Table)
	case !fits:
		return storage.Object{}, fmt.Errorf("%w of %d bytes", storage.ErrTooLarge, s.limit)
	}
	return object, nil
}

// List implements storage.Lister.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	if storage.CheckKey(prefix) != nil && storage.CheckKey(prefix+"x") != nil {
		return nil, ctx.Err() // no key begins so, and a database may refuse to look
	}
	var keys []string
	err := s.tries(ctx, func() (err error) {
		keys, err = s.list(ctx, prefix)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	return keys, nil
}

func (s *Store) list(ctx context.Context, prefix string) (keys []string, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT key FROM "+Table+" WHERE key >= $1 ORDER BY key", prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(key, prefix) { // and so are all that follow
			return keys, nil
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

const (
	patience = 30 * time.Second // with other connections that are in the way
	pause    = 10 * time.Millisecond
)

// tries makes a statement, again and again while other connections are in the way. An error that
// comes from the end of ctx is known by it, whatever the driver made of it.
func (s *Store) tries(ctx context.Context, statement func() error) error {
	for begun := time.Now(); ; {
		err := statement()
		if ended := ctx.Err(); err != nil && ended != nil {
			if errors.Is(err, ended) {
				return err
			}
			return fmt.Errorf("%w: %w", ended, err)
		}
		if err == nil || !s.dialect.Again(err) || time.Since(begun) > patience {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// begin checks the key and that ctx has not ended. Every method of a key calls it first.
func begin(ctx context.Context, verb, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}
