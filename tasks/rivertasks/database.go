package rivertasks

import (
	"context"
	"errors"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

// Kind is River's name for the jobs that are tasks, in the column kind of its table river_job. The
// column args is JSON whose member id is the ID of the task.
const Kind = "tuf_online_update"

// A Database does what River has no call for. riversqlite and riverpostgres each have one.
type Database interface {
	// Find returns the row of a task in river_job, by the task's ID. It uses an index. If there is
	// no such row, the error is tasks.ErrNotFound.
	Find(ctx context.Context, id string) (row int64, err error)

	// Settle writes an outcome into its row of river_job if the row is still that attempt's: id,
	// attempt and attempted_at are the Outcome's, and the task has not ended. Otherwise it changes
	// nothing. It reports whether the row was the attempt's. If err is not nil, that is unknown.
	//
	//   - If the metadata has a member cancel_attempted_at, a person has cancelled the job. Then
	//     the state becomes cancelled if the Outcome's is available.
	//   - If the column errors has the Outcome's Error already, an earlier call has settled the
	//     attempt. The row is not the attempt's any more.
	Settle(ctx context.Context, o Outcome) (settled bool, err error)

	// Close closes the database.
	Close() error
}

// New returns the store in a database. Before the store is used, [Migrate] has to bring the tables
// up to date. The store closes db, unless New returns an error.
func New[TTx any](driver riverdriver.Driver[TTx], db Database, opts Options) (*Store, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	inserter, err := river.NewClient(driver, &river.Config{Logger: riverLogger(opts.Logger, nil)})
	if err != nil {
		return nil, err
	}
	return &Store{db: connection[TTx]{db, driver, inserter}, options: opts}, nil
}

// Migrate brings River's tables up to date.
func Migrate[TTx any](ctx context.Context, driver riverdriver.Driver[TTx], opts Options) error {
	opts, err := opts.withDefaults()
	if err != nil {
		return err
	}
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: riverLogger(opts.Logger, nil)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// A database is what a Store needs of River and a Database.
type database interface {
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	find(ctx context.Context, id string) (*rivertype.JobRow, error) // tasks.ErrNotFound
	settle(ctx context.Context, o Outcome) (settled bool, err error)
	write(ctx context.Context) error // writes something, as a probe
	client(config *river.Config) (client, error)
	Close() error
}

// A client is a river.Client of any database.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Stopped() <-chan struct{}
}

// A connection is a database whose transactions are of type TTx.
type connection[TTx any] struct {
	db       Database
	driver   riverdriver.Driver[TTx]
	inserter *river.Client[TTx] // works no jobs
}

func (c connection[TTx]) Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts,
) (*rivertype.JobInsertResult, error) {
	return c.inserter.Insert(ctx, args, opts)
}

func (c connection[TTx]) find(ctx context.Context, id string) (*rivertype.JobRow, error) {
	row, err := c.db.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	job, err := c.inserter.JobGet(ctx, row)
	if errors.Is(err, rivertype.ErrNotFound) { // River has removed it since
		err = tasks.ErrNotFound
	}
	return job, err
}

func (c connection[TTx]) settle(ctx context.Context, o Outcome) (settled bool, err error) {
	return c.db.Settle(ctx, o)
}

// write writes what River writes of the queue from time to time: that it is in use.
func (c connection[TTx]) write(ctx context.Context) error {
	_, err := c.driver.GetExecutor().QueueCreateOrSetUpdatedAt(ctx, &riverdriver.QueueCreateOrSetUpdatedAtParams{
		Metadata: []byte("{}"), Name: queue,
	})
	return err
}

func (c connection[TTx]) client(config *river.Config) (client, error) {
	return river.NewClient(c.driver, config)
}

func (c connection[TTx]) Close() error { return c.db.Close() }
