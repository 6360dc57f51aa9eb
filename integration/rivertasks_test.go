package integration_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riverpostgres"
	"github.com/tufonline/tufonline/tasks/taskstest"
)

func TestPostgresPassesTheSuiteOfTasks(t *testing.T) {
	db := pgserver.Start(t)
	taskstest.Run(t, taskstest.Harness{Unbounded: true, Retries: true, Open: func(t testing.TB, _ int) func() tasks.Store {
		schema := "s" + strings.ReplaceAll(uuid.NewString(), "-", "")
		sql(t, db, "CREATE SCHEMA "+schema)
		return func() tasks.Store { return openTasks(t, db+"&search_path="+schema, rivertasks.Options{}) }
	}})
}

// A pooler such as PgBouncer may demand a mode in which pgx prepares no statements.
func TestPostgresKeepsTasksInEachModeOfQueries(t *testing.T) {
	db := pgserver.Start(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			s := openTasks(t, db+"&default_query_exec_mode="+mode, rivertasks.Options{Rescue: 10 * time.Second})
			ctx, cancel := context.WithCancel(t.Context())
			running := make(chan error, 1)
			go func() {
				running <- s.Run(ctx, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
					if task.Attempt == 1 {
						return tasks.Result{}, tasks.Temporary(errors.New("'store' is \\down"))
					}
					return tasks.Result{Roles: task.Roles}, nil
				})
			}()
			id := uuid.NewString()
			require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}}))
			assert.Eventually(t, func() bool {
				task, err := s.Get(t.Context(), id)
				return assert.NoError(t, err) && task.State == tasks.StateSuccess && task.Attempt == 2 &&
					assert.Equal(t, tasks.Result{Roles: []string{"timestamp"}}, task.Result)
			}, patience, 50*time.Millisecond)
			cancel()
			require.NoError(t, <-running)
		})
	}
}

// River tells the worker at once, if it can. Otherwise the row alone says so.
func TestATaskOnPostgresThatWasCancelledWhileItRanIsNotTriedAgain(t *testing.T) {
	db := pgserver.Start(t)
	s := openTasks(t, db, rivertasks.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	running, started, cancelled := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() {
		running <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) {
			close(started)
			<-cancelled
			return tasks.Result{}, tasks.Temporary(errors.New("store is down"))
		})
	}()
	id := uuid.NewString()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}}))
	<-started
	sql(t, db, `UPDATE river_job SET metadata = metadata || '{"cancel_attempted_at": "2026-01-01T00:00:00Z"}'`)
	close(cancelled)
	assert.Eventually(t, func() bool {
		task, err := s.Get(t.Context(), id)
		return assert.NoError(t, err) && task.State == tasks.StateFailure && task.Attempt == 1 &&
			assert.Equal(t, "store is down", task.Result.Error)
	}, patience, 50*time.Millisecond)
	cancel()
	require.NoError(t, <-running)
}

// openTasks opens the tasks in a Postgres database.
func openTasks(t testing.TB, url string, o rivertasks.Options) *rivertasks.Store {
	t.Helper()
	s, err := riverpostgres.Open(t.Context(), url, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// sql runs a statement, and returns the first column of the answer.
func sql(t testing.TB, db, statement string, args ...any) (rows []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	found, err := conn.Query(t.Context(), statement, args...)
	require.NoError(t, err)
	for found.Next() {
		values, err := found.Values()
		require.NoError(t, err)
		rows = append(rows, fmt.Sprint(values[0]))
	}
	require.NoError(t, found.Err())
	return rows
}

func TestTasksOnPostgresAreFoundByAnIndex(t *testing.T) {
	db := pgserver.Start(t)
	s := openTasks(t, db, rivertasks.Options{})
	var id string
	for range 1000 {
		id = uuid.NewString()
		require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}}))
	}
	plan := sql(t, db, "EXPLAIN SELECT id FROM river_job WHERE kind = 'tuf_online_update' AND args->>'id' = $1", id)
	assert.Contains(t, strings.Join(plan, "\n"), "tuf_online_task")
}

// Many processes may start at once on an empty database.
func TestStoresOnPostgresOpenAtOnce(t *testing.T) {
	db := pgserver.Start(t)
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			s, err := riverpostgres.Open(t.Context(), db, rivertasks.Options{})
			if assert.NoError(t, err) {
				assert.NoError(t, s.Close())
			}
		})
	}
	opening.Wait()
}

// A lockedBuffer takes a log from many goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// While the database is not available, no task is accepted. No accepted task is lost, and work goes
// on by itself.
func TestADatabaseThatIsAwayForAWhile(t *testing.T) {
	server := pgserver.StartServer(t)
	var log lockedBuffer
	s := openTasks(t, server.URL(), rivertasks.Options{Rescue: 5 * time.Second, Quiet: 10 * time.Second,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	add := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		id := uuid.NewString()
		return id, s.Add(ctx, tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}})
	}
	begun, release := make(chan struct{}, 100), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() {
		running <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) {
			begun <- struct{}{}
			<-release
			return tasks.Result{}, nil
		})
	}()
	var accepted []string
	for range 10 {
		id, err := add()
		require.NoError(t, err)
		accepted = append(accepted, id)
	}
	<-begun
	server.Stop()
	_, err := add()
	require.Error(t, err)
	require.NotErrorIs(t, err, tasks.ErrExists)
	close(release) // the database cannot store the result
	time.Sleep(3 * time.Second)
	require.NoError(t, server.Start(t))
	for range 10 {
		id, err := add()
		require.NoError(t, err)
		accepted = append(accepted, id)
	}
	for _, id := range accepted {
		require.Eventually(t, func() bool {
			task, err := s.Get(t.Context(), id)
			require.NoError(t, err)
			require.NotEqual(t, tasks.StateFailure, task.State, task.Result.Error)
			return task.State == tasks.StateSuccess
		}, 2*time.Minute, 50*time.Millisecond)
	}
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "answers again") }, 3*time.Minute,
		50*time.Millisecond)
	cancel()
	require.NoError(t, <-running)
	assert.Equal(t, 1, strings.Count(log.String(), "the database fails"), "%s", &log)
	assert.Equal(t, 1, strings.Count(log.String(), "answers again"), "%s", &log)
	assert.NotContains(t, log.String(), "ERROR")
}
