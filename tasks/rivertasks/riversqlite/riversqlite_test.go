package riversqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riversqlite"
	"github.com/tufonline/tufonline/tasks/taskstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func TestSQLiteIsAStore(t *testing.T) {
	taskstest.Run(t, taskstest.Harness{Unbounded: true, Retries: true, Open: func(t testing.TB, _ int) func() tasks.Store {
		path := newPath(t)
		return func() tasks.Store { return open(t, path, rivertasks.Options{}) }
	}})
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "tasks.db") }

func open(t testing.TB, path string, o rivertasks.Options) *rivertasks.Store {
	t.Helper()
	s, err := riversqlite.Open(t.Context(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func add(t testing.TB, s *rivertasks.Store) (id string) {
	t.Helper()
	id = uuid.NewString()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}}))
	return id
}

func run(t testing.TB, s *rivertasks.Store, work func(context.Context, tasks.Task) (tasks.Result, error)) {
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- s.Run(ctx, work) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-running)
	})
}

func await(t testing.TB, s *rivertasks.Store, id string, longest time.Duration) (got tasks.Task) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		got, err = s.Get(t.Context(), id)
		require.NoError(t, err)
		return got.State.Ended()
	}, longest, 10*time.Millisecond)
	return got
}

// statement runs a statement beside the store, and returns the last column of the answer.
func statement(t testing.TB, path, text string, args ...any) (rows []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)")
	require.NoError(t, err)
	defer db.Close()
	found, err := db.QueryContext(t.Context(), text, args...)
	require.NoError(t, err)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	for found.Next() {
		values, pointers := make([]any, len(columns)), []any{}
		for i := range values {
			pointers = append(pointers, &values[i])
		}
		require.NoError(t, found.Scan(pointers...))
		rows = append(rows, fmt.Sprint(values[len(values)-1]))
	}
	require.NoError(t, found.Err())
	return rows
}

func TestATaskThatLostItsWorkerHasAnotherAttempt(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{Rescue: 10 * time.Second})
	id := add(t, s)
	statement(t, path, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = datetime('now', '-1 minute')`)
	got, err := s.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, tasks.StateStarted, got.State)

	var begun tasks.Task
	run(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		begun = task
		return tasks.Result{}, nil
	})
	got = await(t, s, id, 2*time.Minute) // River looks for such tasks every 30 seconds
	assert.Equal(t, tasks.StateSuccess, got.State)
	assert.Equal(t, 2, got.Attempt)
	assert.Empty(t, got.Result.Error)
	assert.Contains(t, begun.Result.Error, "rescued")
	assert.Equal(t, tasks.CodeLost, begun.Result.Code)
}

func TestATaskFailsAfterItsLastAttempt(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{MaxAttempts: 2})
	var attempts atomic.Int64
	run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) {
		return tasks.Result{}, tasks.Temporary(fmt.Errorf("failure %d", attempts.Add(1)))
	})
	got := await(t, s, add(t, s), patience)
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Equal(t, 2, got.Attempt)
	assert.Equal(t, "failure 2", got.Result.Error)
	assert.EqualValues(t, 2, attempts.Load())
}

func TestAPendingTaskSaysWhyTheLastAttemptFailed(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{})
	run(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		return tasks.Result{}, tasks.WithCode(tasks.Temporary(errors.New("store is down")), "store_unavailable")
	})
	id := add(t, s)
	var got tasks.Task
	require.Eventually(t, func() bool {
		var err error
		got, err = s.Get(t.Context(), id)
		require.NoError(t, err)
		return got.Result.Error != ""
	}, patience, time.Millisecond)
	assert.Equal(t, tasks.StatePending, got.State)
	assert.Equal(t, 1, got.Attempt)
	assert.Equal(t, "store is down", got.Result.Error)
	assert.Equal(t, "store_unavailable", got.Result.Code)
}

// A repository may have 16,384 bins, and a result may name them all.
func TestAResultMayBeLarge(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{})
	want := tasks.Result{Versions: map[string]int64{}}
	for i := range 16_384 {
		role := fmt.Sprintf("bin-%04x", i)
		want.Roles = append(want.Roles, role)
		want.Versions[role] = 1<<53 + 1
	}
	run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) { return want, nil })
	got := await(t, s, add(t, s), patience)
	assert.Equal(t, tasks.StateSuccess, got.State)
	assert.Equal(t, want, got.Result)
}

func TestTasksAreFoundByAnIndex(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{})
	id := add(t, s)
	plan := statement(t, path,
		`EXPLAIN QUERY PLAN SELECT id FROM river_job WHERE kind = 'tuf_online_update' AND json_extract(args, '$.id') = ?`, id)
	assert.Contains(t, strings.Join(plan, "\n"), "tuf_online_task")
}

func TestATaskThatEndedLongAgoIsNotFound(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{})
	id := add(t, s)
	statement(t, path, `UPDATE river_job SET state = 'completed', finalized_at = datetime('now', '-6 days', '-23 hours')`)
	_, err := s.Get(t.Context(), id)
	require.NoError(t, err)
	statement(t, path, `UPDATE river_job SET finalized_at = datetime('now', '-7 days', '-1 second')`)
	_, err = s.Get(t.Context(), id)
	require.ErrorIs(t, err, tasks.ErrNotFound)
}

// The processes of a machine may start at once, and find no file.
func TestStoresOpenAtOnce(t *testing.T) {
	path := newPath(t)
	var opening sync.WaitGroup
	for range 8 {
		opening.Go(func() {
			s, err := riversqlite.Open(t.Context(), path, rivertasks.Options{})
			if assert.NoError(t, err) {
				assert.NoError(t, s.Close())
			}
		})
	}
	opening.Wait()
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	path := newPath(t)
	add(t, open(t, path, rivertasks.Options{}))
	files, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Greater(t, len(files), 1, "the write-ahead log is a file too")
	for _, name := range files {
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20&e=ü.db")
	id := add(t, open(t, path, rivertasks.Options{}))
	assert.FileExists(t, path)

	u := "sqlite://" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23", " ", "%20").Replace(path)
	s, err := tasks.Open(t.Context(), u, riversqlite.Driver(rivertasks.Options{}))
	require.NoError(t, err)
	_, err = s.Get(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.(io.Closer).Close())
}

// SQLite itself would keep a file of this name in memory.
func TestEachPathIsAFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{":memory:", "tasks.db"} {
		add(t, open(t, path, rivertasks.Options{}))
		assert.FileExists(t, path)
	}
	s, err := tasks.Open(t.Context(), "sqlite://./other.db", riversqlite.Driver(rivertasks.Options{}))
	require.NoError(t, err)
	require.NoError(t, s.(io.Closer).Close())
	assert.FileExists(t, "other.db")
}

func TestURLsThatNameNoFile(t *testing.T) {
	for _, url := range []string{
		"sqlite:", "sqlite://", "sqlite:///", "sqlite://host/path", "sqlite:///folder/", "sqlite:///tmp/x?mode=memory",
		"sqlite:///tmp/x#y", "sqlite:tasks.db", "sqlite:///no/such/folder/tasks.db", "sqlite://u:hush@/x",
	} {
		_, err := tasks.Open(t.Context(), url, riversqlite.Driver(rivertasks.Options{}))
		require.ErrorContains(t, err, "task store sqlite: ", url)
		assert.NotContains(t, err.Error(), "hush")
	}
	for _, path := range []string{"", "folder/", filepath.Join(t.TempDir(), "no", "such", "folder"), t.TempDir()} {
		_, err := riversqlite.Open(t.Context(), path, rivertasks.Options{})
		require.Error(t, err, path)
	}
}

func TestOptionsAreNotNegative(t *testing.T) {
	for _, opts := range []rivertasks.Options{{Workers: -1}, {Rescue: -1}, {MaxAttempts: -1}} {
		_, err := riversqlite.Open(t.Context(), newPath(t), opts)
		require.ErrorContains(t, err, "negative")
	}
}

// Other releases, and people with a SQL client, read these rows.
func TestARowHoldsTheTaskAsJSON(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{})
	run(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		return tasks.Result{Roles: task.Roles, Versions: map[string]int64{"timestamp": 7}}, nil
	})
	id := add(t, s)
	await(t, s, id, patience)
	assert.Equal(t, []string{`{"id":"` + id + `","app":"acme/desktop","roles":["timestamp"]}`},
		statement(t, path, `SELECT json(args) FROM river_job`))
	assert.Equal(t, []string{`{"attempt":1,"result":{"roles":["timestamp"],"versions":{"timestamp":7}}}`},
		statement(t, path, `SELECT json_extract(metadata, '$.output') FROM river_job`))
	assert.Equal(t, []string{"tuf_online_update"}, statement(t, path, `SELECT kind FROM river_job`))
	assert.Equal(t, []string{"tuf_online"}, statement(t, path, `SELECT queue FROM river_job`))
}

// Work that takes too long is cancelled. The next attempt begins when the work has ended.
func TestATaskIsWorkedByOneAtATime(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{Rescue: 2 * time.Second})
	var working, most, begun atomic.Int64
	run(t, s, func(ctx context.Context, _ tasks.Task) (tasks.Result, error) {
		defer working.Add(-1)
		most.Store(max(most.Load(), working.Add(1)))
		if begun.Add(1) > 1 {
			return tasks.Result{}, nil
		}
		<-ctx.Done()
		return tasks.Result{}, tasks.Temporary(context.Cause(ctx))
	})
	got := await(t, s, add(t, s), time.Minute)
	assert.Equal(t, tasks.StateSuccess, got.State)
	assert.Equal(t, 2, got.Attempt)
	assert.EqualValues(t, 1, most.Load())
}

func TestOneAppDoesNotTakeAllWorkers(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{Workers: 4})
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	run(t, s, func(_ context.Context, task tasks.Task) (tasks.Result, error) {
		if task.App == "acme/slow" {
			<-free
		}
		return tasks.Result{}, nil
	})
	t.Cleanup(release)
	var slow []string
	for range 10 {
		id := uuid.NewString()
		require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/slow", Roles: []string{"timestamp"}}))
		slow = append(slow, id)
	}
	for range 3 {
		id := uuid.NewString()
		require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/quick", Roles: []string{"timestamp"}}))
		assert.Equal(t, tasks.StateSuccess, await(t, s, id, patience).State)
	}
	release()
	for _, id := range slow {
		got := await(t, s, id, patience)
		assert.Equal(t, tasks.StateSuccess, got.State)
		assert.Equal(t, 1, got.Attempt, "waiting is no attempt")
	}
}

func TestThePackageLinksNoPostgres(t *testing.T) {
	linked, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(linked), "modernc.org/sqlite")
	for _, other := range []string{"github.com/jackc/pgx", "river/riverdriver/riverpgxv5"} {
		if strings.Contains(string(linked), other) {
			t.Errorf("it links %s", other)
		}
	}
}
