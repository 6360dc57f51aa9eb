package rivertasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

type postgres struct {
	*river.Client[pgx.Tx]
	driver *riverpgxv5.Driver
	pool   *pgxpool.Pool
}

const (
	migrationLock  = 0x747566 // of those who bring the tables up to date; "tuf"
	connectTimeout = 5 * time.Second
)

func openPostgres(ctx context.Context, rawURL string, log *slog.Logger) (database, error) {
	config, err := pgxpool.ParseConfig(rawURL)
	if err != nil {
		return nil, err // in which there is no password
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.MaxConns < 3 {
		return nil, fmt.Errorf("pool_max_conns is %d: fewer than 3 connections block each other", config.MaxConns)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p, err := newPostgres(ctx, pool, log)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

func newPostgres(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) (*postgres, error) {
	driver := riverpgxv5.New(pool)
	if err := migrate(ctx, pool, driver, log); err != nil {
		return nil, fmt.Errorf("migrating: %w", err)
	}
	inserter, err := river.NewClient(driver, &river.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	return &postgres{inserter, driver, pool}, nil
}

// migrate brings the tables up to date, one process after the other.
func migrate(ctx context.Context, pool *pgxpool.Pool, driver *riverpgxv5.Driver, log *slog.Logger) error {
	lock, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if _, err := lock.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	defer func() { // a connection that cannot say so gives up its locks by closing
		if _, err := lock.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrationLock); err != nil {
			_ = lock.Conn().Close(context.WithoutCancel(ctx))
		}
	}()
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	const index = `CREATE INDEX IF NOT EXISTS tuf_online_task ON river_job ((args->>'id')) WHERE kind = '` + kind + `'`
	_, err = pool.Exec(ctx, index)
	return err
}

func (p *postgres) find(ctx context.Context, id string) (*rivertype.JobRow, error) {
	const query = `SELECT id FROM river_job WHERE kind = '` + kind + `' AND args->>'id' = $1`
	var row int64
	err := p.pool.QueryRow(ctx, query, id).Scan(&row)
	if errors.Is(err, pgx.ErrNoRows) {
		err = rivertype.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return p.JobGet(ctx, row)
}

func (p *postgres) client(config *river.Config) (client, error) {
	return river.NewClient(p.driver, config)
}

// Close closes all connections.
func (p *postgres) Close() error {
	p.pool.Close()
	return nil
}
