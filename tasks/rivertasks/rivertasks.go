// Package rivertasks is a task store on [River], for SQLite (a file, one machine) and Postgres
// (many machines): what it has accepted outlives the process. Its tables, retries, rescue of what
// died with its worker, and retention are River's.
//
//	sqlite:///var/lib/tuf/tasks.db
//	postgres://user@host/database
//
// A database may hold other jobs of River's besides: tasks have a kind and a queue of their own.
// But whichever of River's clients leads there decides how long what has ended is kept and when
// jobs count as lost, so a database or schema of its own is better.
//
// [River]: https://riverqueue.com
package rivertasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

// Options are what a store is opened with. The zero value is fit for use.
type Options struct {
	// Workers is how many tasks a Run works at once, those of one app at most half of them. 0: 100.
	Workers int

	// Rescue is after how long a task that was begun counts as lost with its worker, and is begun
	// again. The context of its work ends an eighth of that earlier, but at most 15 seconds; work
	// that goes on all the same may be done twice at once. 0: 15 minutes. River looks for such
	// tasks every 30 seconds.
	Rescue time.Duration

	// MaxAttempts is how often a task is begun at most. 0: 20, which with the pauses between them,
	// from a second to five minutes, takes an hour.
	MaxAttempts int

	// Logger gets what River says. Nil: nothing.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	o.Workers = cmp.Or(o.Workers, 100)
	o.Rescue = cmp.Or(o.Rescue, 15*time.Minute)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 20)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Workers < 0 || o.Rescue < 0 || o.MaxAttempts < 0 {
		return o, errors.New("negative option")
	}
	return o, nil
}

// A Store is a tasks.Store. It is not bounded: Add is never tasks.ErrFull. A failure that is
// tasks.Temporary is tried again.
type Store struct {
	db      database
	options Options
}

var _ tasks.Store = (*Store)(nil)

// A database is what differs from one kind to the other.
type database interface {
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	find(ctx context.Context, id string) (*rivertype.JobRow, error) // rivertype.ErrNotFound
	client(config *river.Config) (client, error)
	Close() error
}

// A client is a river.Client of whatever database.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Stopped() <-chan struct{}
}

// Open opens the store that a URL names, and brings its tables up to date; other processes may do
// the same at the same time. Close it when it is no longer used. Errors do not show the URL, which
// may hold a password.
func Open(ctx context.Context, rawURL string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("task store: %w", err)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("task store: the URL cannot be parsed (it is not shown, since it may hold a password)")
	}
	var db database
	switch u.Scheme {
	case "sqlite":
		db, err = openSQLite(ctx, u, o.Logger)
	case "postgres", "postgresql":
		db, err = openPostgres(ctx, u.String(), o.Logger) // not as given: pgx knows the scheme in lower case only
	default:
		err = errors.New("unknown scheme: not one of sqlite, postgres")
	}
	if err != nil {
		return nil, fmt.Errorf("task store %s: %w", u.Scheme, err)
	}
	return &Store{db, o}, nil
}

// Close closes the database. No Run may be active.
func (s *Store) Close() error { return s.db.Close() }

// Add implements tasks.Store.
func (s *Store) Add(ctx context.Context, t tasks.Task) error {
	result, err := s.db.Insert(ctx, job{ID: t.ID, App: t.App, Roles: t.Roles}, &river.InsertOpts{
		Queue:       queue,
		MaxAttempts: s.options.MaxAttempts,
		UniqueOpts:  river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()},
	})
	if err != nil {
		return fmt.Errorf("add task %s: %w", t.ID, err)
	}
	if result.UniqueSkippedAsDuplicate {
		return fmt.Errorf("add task %s: %w", t.ID, tasks.ErrExists)
	}
	return nil
}

// Get implements tasks.Store.
func (s *Store) Get(ctx context.Context, id string) (tasks.Task, error) {
	row, err := s.db.find(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		err = tasks.ErrNotFound
	}
	var t tasks.Task
	if err == nil {
		t, err = taskOf(row)
	}
	if err == nil && t.State.Ended() && time.Since(t.Updated) > tasks.Retention { // it will be removed soon
		err = tasks.ErrNotFound
	}
	if err != nil {
		return tasks.Task{}, fmt.Errorf("get task %s: %w", id, err)
	}
	return t, nil
}
