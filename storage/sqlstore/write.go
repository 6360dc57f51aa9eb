package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/storage"
)

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	if err := begin(ctx, "create", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.swap(ctx, key, storage.Absent, data, storage.ErrExists)
	if err != nil {
		return storage.Absent, fmt.Errorf("create %s: %w", key, err)
	}
	return version, nil
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	if err := begin(ctx, "replace", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.swap(ctx, key, old, data, storage.ErrConflict)
	if err != nil {
		return storage.Absent, fmt.Errorf("replace %s: %w", key, err)
	}
	return version, nil
}

// Delete implements storage.Deleter.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, "delete", key); err != nil {
		return err
	}
	err := s.tries(ctx, func() error {
		_, err := s.db.ExecContext(ctx, "DELETE FROM "+Table+" WHERE key = $1", key)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// swap writes data if key holds the version old. It succeeds if key holds data already, and returns
// refusal if key holds anything else.
func (s *Store) swap(ctx context.Context, key string, old storage.Version, data []byte, refusal error,
) (version storage.Version, err error) {
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	err = s.tries(ctx, func() error {
		version, err = s.write(ctx, key, old, data)
		if errors.Is(err, errUnchanged) {
			version, err = s.holding(ctx, key, data, refusal)
		}
		return err
	})
	return version, err
}

var errUnchanged = errors.New("the condition does not hold")

// write writes data if key holds the version old and other bytes. The statement is atomic, so of
// many writers the database lets one be first. The error is errUnchanged if nothing was written.
func (s *Store) write(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	version := storage.Version(rand.Text())
	var result sql.Result
	var err error
	if old == storage.Absent {
		result, err = s.db.ExecContext(ctx, "INSERT INTO "+Table+" (key, version, data) VALUES ($1, $2, $3) "+
			"ON CONFLICT (key) DO NOTHING", key, string(version), data)
	} else {
		result, err = s.db.ExecContext(ctx, "UPDATE "+Table+" SET version = $2, data = $3 "+
			"WHERE key = $1 AND version = $4 AND data <> $3", key, string(version), data, string(old))
	}
	if err != nil {
		return storage.Absent, err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errUnchanged
	}
	if err != nil {
		return storage.Absent, err
	}
	return version, nil
}

// holding returns the version of the object at key if that is data, and refusal otherwise.
func (s *Store) holding(ctx context.Context, key string, data []byte, refusal error) (version storage.Version,
	err error,
) {
	err = s.db.QueryRowContext(ctx, "SELECT version FROM "+Table+" WHERE key = $1 AND data = $2", key, data).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Absent, refusal
	}
	return version, err
}
