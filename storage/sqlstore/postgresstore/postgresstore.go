// Package postgresstore opens a store in a Postgres database, for the processes of many machines.
package postgresstore

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
)

const connectTimeout = 5 * time.Second

// schemes are the two that Postgres's own clients accept.
func schemes() []string { return []string{"postgres", "postgresql"} }

// Drivers open URLs such as postgres://user@host/database, which may hold a password. See [Open].
func Drivers() []storage.Driver {
	var drivers []storage.Driver
	for _, scheme := range schemes() {
		drivers = append(drivers, storage.Driver{Scheme: scheme, Userinfo: true,
			Open: func(ctx context.Context, u *url.URL, limit int64) (storage.Store, error) {
				store, err := open(ctx, u, sqlstore.Options{Limit: limit})
				if err != nil {
					return nil, err // not store, which would be a Store that is not nil
				}
				return store, nil
			}})
	}
	return drivers
}

// Open opens the store in the database that a URL names, such as postgres://user@host/database. The
// parameters are those of pgx's pools. The connect timeout is 5 seconds unless the URL says
// otherwise.
//
// Open creates the table in the first schema of the search path. Other tables are left alone. A
// database that acknowledges a commit before it is durable (synchronous_commit=off) is refused,
// unless the URL has the parameter synchronous_commit=on. The caller closes the store. Errors do
// not show the URL, which may hold a password.
func Open(ctx context.Context, rawURL string, opts sqlstore.Options) (*sqlstore.Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // the error quotes the URL
		return nil, errors.New("the Postgres URL cannot be parsed (it is not shown, since it may hold a password)")
	}
	return open(ctx, u, opts)
}

func open(ctx context.Context, u *url.URL, opts sqlstore.Options) (*sqlstore.Store, error) {
	if !slices.Contains(schemes(), u.Scheme) {
		return nil, errors.New("the URL is not of the form postgres://user@host/database")
	}
	config, err := pgxpool.ParseConfig(u.String()) // pgx accepts the scheme in lower case only, as it is in u
	if err != nil {
		return nil, err // pgx hides passwords
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	dialect := sqlstore.Dialect{Key: `TEXT COLLATE "C"`, Bytes: "BYTEA", Again: isRace, Close: pool.Close}
	err = checkDurable(ctx, db)
	if err == nil {
		var store *sqlstore.Store
		if store, err = sqlstore.New(ctx, db, dialect, opts); err == nil {
			return store, nil
		}
	}
	err = errors.Join(err, db.Close())
	pool.Close()
	return nil, err
}

// checkDurable returns an error if the database acknowledges what a crash may undo.
func checkDurable(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "SHOW synchronous_commit").Scan(&mode); err != nil {
		return err
	}
	if mode == "off" {
		return errors.New("synchronous_commit is off, so a crash may undo what was written: " +
			"switch it on, or add synchronous_commit=on to the URL")
	}
	return nil
}

// isRace reports whether another connection was in the way: it created the same table at the same
// time, or the two could not be put into an order.
func isRace(err error) bool {
	const uniqueViolation, duplicateTable, serializationFailure, deadlock = "23505", "42P07", "40001", "40P01"
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{uniqueViolation, duplicateTable, serializationFailure, deadlock}, failure.Code)
}
