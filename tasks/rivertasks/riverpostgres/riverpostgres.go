// Package riverpostgres opens a task store in a Postgres database, for the processes of many
// machines.
package riverpostgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

const (
	// minConns is the fewest connections that do not block each other.
	minConns       = 3
	connectTimeout = 5 * time.Second
	// migrationLock is the number of the lock that a migrating process holds. It spells "tuf".
	migrationLock = 0x747566
)

// schemes are the two that Postgres's own clients accept.
func schemes() []string { return []string{"postgres", "postgresql"} }

// Driver opens URLs such as postgres://user@host/database. See [Open].
func Driver(opts rivertasks.Options) tasks.Driver {
	return tasks.Driver{Schemes: schemes(), Open: func(ctx context.Context, u *url.URL) (tasks.Store, error) {
		store, err := open(ctx, u, opts)
		if err != nil {
			return nil, err // not store, which would be a Store that is not nil
		}
		return store, nil
	}}
}

// Open opens the store in the database that a URL names, such as postgres://user@host/database. The
// parameters are those of pgx's pools. The connect timeout is 5 seconds unless the URL says
// otherwise.
//
// Open brings the tables up to date. Other processes may do the same at once. The caller closes the
// store. Errors do not show the URL, which may hold a password.
func Open(ctx context.Context, rawURL string, opts rivertasks.Options) (*rivertasks.Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // the error quotes the URL
		return nil, errors.New("the Postgres URL cannot be parsed (it is not shown, since it may hold a password)")
	}
	return open(ctx, u, opts)
}

func open(ctx context.Context, u *url.URL, opts rivertasks.Options) (*rivertasks.Store, error) {
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
	if config.MaxConns < minConns {
		return nil, fmt.Errorf("pool_max_conns is %d: fewer than %d connections block each other", config.MaxConns, minConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(pool)
	store, err := rivertasks.New(driver, database{pool}, opts)
	if err == nil {
		err = migrate(ctx, pool, driver, opts)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return store, nil
}

// migrate brings the tables up to date, while it holds a lock that other processes wait for.
func migrate(ctx context.Context, pool *pgxpool.Pool, driver *riverpgxv5.Driver, opts rivertasks.Options) error {
	lock, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if _, err := lock.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	defer func() { // closing a connection releases its locks
		if _, err := lock.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrationLock); err != nil {
			_ = lock.Conn().Close(context.WithoutCancel(ctx))
		}
	}()
	if err := rivertasks.Migrate(ctx, driver, opts); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	const index = `CREATE INDEX IF NOT EXISTS tuf_online_task ON river_job ((args->>'id')) WHERE kind = '` +
		rivertasks.Kind + `'`
	_, err = pool.Exec(ctx, index)
	return err
}

// A database is a rivertasks.Database.
type database struct{ pool *pgxpool.Pool }

// Find implements rivertasks.Database.
func (d database) Find(ctx context.Context, id string) (row int64, err error) {
	const query = `SELECT id FROM river_job WHERE kind = '` + rivertasks.Kind + `' AND args->>'id' = $1`
	err = d.pool.QueryRow(ctx, query, id).Scan(&row)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tasks.ErrNotFound
	}
	return row, err
}

// Settle implements rivertasks.Database.
func (d database) Settle(ctx context.Context, o rivertasks.Outcome) (settled bool, err error) {
	const statement = `
		WITH own AS (
			SELECT id, CASE WHEN $4::text = 'available' AND metadata ? 'cancel_attempted_at' THEN 'cancelled'
				ELSE $4::text END AS state
			FROM river_job
			WHERE id = $1 AND attempt = $2 AND attempted_at = $3 AND finalized_at IS NULL
				AND NOT coalesce($8::jsonb = ANY (errors), FALSE)
			FOR UPDATE
		)
		UPDATE river_job
		SET state = own.state::river_job_state,
			scheduled_at = CASE WHEN own.state = 'available' THEN now() + $5::bigint * interval '1 microsecond'
				ELSE scheduled_at END,
			finalized_at = CASE WHEN own.state <> 'available' THEN now() END,
			attempt = $6,
			metadata = CASE WHEN $7::jsonb IS NULL THEN metadata
				ELSE metadata || jsonb_build_object('output', $7::jsonb) END,
			errors = CASE WHEN $8::jsonb IS NULL THEN errors ELSE array_append(errors, $8::jsonb) END
		FROM own
		WHERE river_job.id = own.id`
	tag, err := d.pool.Exec(ctx, statement, o.Row, o.Attempt, o.Begun, string(o.State), o.Pause.Microseconds(), o.Attempts,
		text(o.Output), text(o.Error))
	return tag.RowsAffected() > 0, err
}

// text returns JSON as text. Where pgx does not ask for the types of parameters, as a pooler may
// demand, it sends bytes as a bytea, which is no JSON.
func text(json []byte) *string {
	if json == nil {
		return nil
	}
	s := string(json)
	return &s
}

// Close implements rivertasks.Database.
func (d database) Close() error {
	d.pool.Close()
	return nil
}
