package faynosync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/compat/faynosync"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/taskstest"
)

func TestAMirrorIsATaskStore(t *testing.T) {
	for name, down := range map[string]bool{"with Redis": false, "without Redis": true} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRedis()
			f.down = down
			client := f.client(t)
			taskstest.Run(t, taskstest.Harness{Retries: true, Open: func(_ testing.TB, capacity int) func() tasks.Store {
				m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
				mirror := faynosync.NewMirror(m, client, faynosync.MirrorOptions{})
				wrapped, ok := tasks.As[*tasks.Memory](mirror)
				assert.True(t, ok && wrapped == m, "it is a wrapper")
				return func() tasks.Store { return mirror }
			}})
		})
	}
}

// An attempt is a store that runs one attempt at its task.
type attempt struct {
	tasks.Store
	task   tasks.Task
	kept   tasks.Task    // what Get returns, if not task
	refuse error         // from Add
	panics any           // the value of the panic that reached Run
	stalls time.Duration // how long the process stops once Get has its answer
}

func (a *attempt) Get(context.Context, string) (tasks.Task, error) {
	defer time.Sleep(a.stalls)
	if a.kept.ID == "" {
		return a.task, nil
	}
	return a.kept, nil
}

func (a *attempt) Add(context.Context, tasks.Task) error { return a.refuse }

func (a *attempt) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	defer func() { a.panics = recover() }()
	_, _ = work(ctx, a.task)
	return nil
}

const id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

// logTo returns options with a Logger that writes to log.
func logTo(log *bytes.Buffer) faynosync.MirrorOptions {
	return faynosync.MirrorOptions{Logger: slog.New(slog.NewTextHandler(log, nil))}
}

// record reads the record of the task.
func record(t testing.TB, f *fakeRedis) (got map[string]any) {
	t.Helper()
	value, ttl := f.get("task:" + id)
	require.Equal(t, 7*day, ttl)
	require.NoError(t, json.Unmarshal([]byte(value), &got))
	return got
}

func TestARecordSaysHowFarItsTaskIs(t *testing.T) {
	const says, task = "last_update", "force_online_metadata_update"
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the start of time in a bubble
	noKey := tasks.WithCode(errors.New("no key"), "key_missing")
	down := tasks.Temporary(tasks.WithCode(errors.New("store is down"), "store_unavailable"))
	panicked := tasks.WithCode(errors.New("panic: oh no"), tasks.CodePanic)
	failed := tasks.Result{Error: "store is down", Code: "store_unavailable"}
	object := func(message string, why error, status bool, details map[string]any) map[string]any {
		result := map[string]any{
			"message": message, "status": status, "task": task, says: "2000-01-01T00:00:00.000000+00:00", "details": details,
		}
		if why != nil {
			result["error"], result["error_code"] = why.Error(), tasks.CodeOf(why)
		}
		return result
	}
	nothing := func(n float64) map[string]any {
		return map[string]any{"updated_roles": []any{}, "versions": map[string]any{}, "attempt": n}
	}
	published := tasks.Result{Roles: []string{"snapshot", "timestamp"},
		Versions: map[string]int64{"snapshot": 4, "timestamp": 7}, Accepted: map[string]int64{"targets": 3}}

	for name, test := range map[string]struct {
		task   tasks.Task
		work   func() (tasks.Result, error)
		before map[string]any // the record while work runs
		after  map[string]any // the record afterwards
		panics any            // the value of the panic that reaches the store
	}{
		"success": {
			task:   tasks.Task{Attempt: 1, MaxAttempts: 20},
			work:   func() (tasks.Result, error) { return published, nil },
			before: map[string]any{"state": "STARTED"},
			after: map[string]any{"state": "SUCCESS", "result": object("Online metadata updated.", nil, true, map[string]any{
				"updated_roles": []any{"snapshot", "timestamp"}, "versions": map[string]any{"snapshot": 4.0,
					"timestamp": 7.0}, "accepted_versions": map[string]any{"targets": 3.0}, "attempt": 1.0,
			})},
		},
		"failure": {
			task:   tasks.Task{Attempt: 1, MaxAttempts: 20},
			work:   func() (tasks.Result, error) { return published, noKey },
			before: map[string]any{"state": "STARTED"},
			after: map[string]any{"state": "FAILURE",
				"result": object("Online metadata update failed.", noKey, false, nothing(1))},
		},
		"panic": {
			task:   tasks.Task{Attempt: 1, MaxAttempts: 20},
			work:   func() (tasks.Result, error) { panic("oh no") },
			before: map[string]any{"state": "STARTED"},
			after: map[string]any{"state": "FAILURE",
				"result": object("Online metadata update failed.", panicked, false, nothing(1))},
			panics: "oh no",
		},
		"failure for now": {
			task:   tasks.Task{Attempt: 1, MaxAttempts: 20},
			work:   func() (tasks.Result, error) { return tasks.Result{}, down },
			before: map[string]any{"state": "STARTED"},
			after: map[string]any{"state": "PENDING", "result": object(
				"Online metadata update failed and will be tried again.", down, false, nothing(1))},
		},
		"success after a failure": {
			task: tasks.Task{Attempt: 2, MaxAttempts: 20, Updated: now, Result: failed},
			work: func() (tasks.Result, error) { return tasks.Result{}, nil },
			before: map[string]any{"state": "STARTED", "result": object(
				"Online metadata update failed and is tried again.", down, false, nothing(2))},
			after: map[string]any{"state": "SUCCESS", "result": object("Online metadata updated.", nil, true, nothing(2))},
		},
		"failure for now, for the last time": {
			task: tasks.Task{Attempt: 20, MaxAttempts: 20, Updated: now, Result: failed},
			work: func() (tasks.Result, error) { return tasks.Result{}, down },
			before: map[string]any{"state": "STARTED", "result": object(
				"Online metadata update failed and is tried again.", down, false, nothing(20))},
			after: map[string]any{"state": "FAILURE",
				"result": object("Online metadata update failed.", down, false, nothing(20))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis()
				test.task.ID, test.task.State = id, tasks.StateStarted
				store := &attempt{task: test.task}
				mirror := faynosync.NewMirror(store, f.client(t), faynosync.MirrorOptions{})
				require.NoError(t, mirror.Add(t.Context(), tasks.Task{ID: id}))
				assert.Equal(t, map[string]any{"state": "PENDING"}, record(t, f))
				require.NoError(t, mirror.Run(t.Context(), func(context.Context, tasks.Task) (tasks.Result, error) {
					assert.Equal(t, test.before, record(t, f))
					return test.work()
				}))
				assert.Equal(t, test.after, record(t, f))
				assert.Equal(t, test.panics, store.panics)
			})
		})
	}
}

// Meanwhile the store gave the task to another worker.
func TestAWorkerThatStalledChangesNoRecord(t *testing.T) {
	for name, state := range map[string]tasks.State{"while another runs": tasks.StateStarted,
		"after another ended": tasks.StateSuccess, "after it was lost": tasks.StateFailure} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRedis()
			task := tasks.Task{ID: id, State: tasks.StateStarted, Attempt: 1, MaxAttempts: 20}
			store := &attempt{task: task}
			mirror := faynosync.NewMirror(store, f.client(t), faynosync.MirrorOptions{})
			require.NoError(t, mirror.Run(t.Context(), func(context.Context, tasks.Task) (tasks.Result, error) {
				store.kept = tasks.Task{ID: id, State: state, Attempt: 2, MaxAttempts: 20}
				if state == tasks.StateFailure {
					store.kept.Attempt = 1
				}
				return tasks.Result{Warnings: []string{"stalled"}}, errors.New("stalled")
			}))
			assert.Equal(t, string(state), record(t, f)["state"])
			value, _ := f.get("task:" + id)
			assert.NotContains(t, value, "stalled")
		})
	}
}

// Meanwhile another worker may have written its record.
func TestAWorkerThatStallsBetweenTheStoreAndRedisChangesNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRedis()
		f.values["task:"+id] = `{"state":"SUCCESS"}`
		var log bytes.Buffer
		task := tasks.Task{ID: id, State: tasks.StateStarted, Attempt: 1, MaxAttempts: 20}
		mirror := faynosync.NewMirror(&attempt{task: task, stalls: time.Minute}, f.client(t), logTo(&log))
		require.NoError(t, mirror.Run(t.Context(), func(context.Context, tasks.Task) (tasks.Result, error) {
			return tasks.Result{}, nil
		}))
		value, _ := f.get("task:" + id)
		assert.JSONEq(t, `{"state":"SUCCESS"}`, value)
		assert.Equal(t, 2, bytes.Count(log.Bytes(), []byte("level=WARN")), "%s", &log)
	})
}

func TestTheRecordOfWorkThatEndedItsGoroutineSaysFailure(t *testing.T) {
	f := newFakeRedis()
	mirror := faynosync.NewMirror(tasks.NewMemory(tasks.MemoryOptions{}), f.client(t), faynosync.MirrorOptions{})
	require.NoError(t, mirror.Add(t.Context(), tasks.Task{ID: id, App: "acme", Roles: []string{"timestamp"}}))
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, mirror.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) {
		cancel()
		runtime.Goexit()
		return tasks.Result{}, nil
	}))
	assert.Equal(t, "FAILURE", record(t, f)["state"])
	value, _ := f.get("task:" + id)
	assert.Contains(t, value, "panic")
}

func TestATaskThatIsNotAcceptedHasNoRecord(t *testing.T) {
	f := newFakeRedis()
	mirror := faynosync.NewMirror(&attempt{refuse: tasks.ErrFull}, f.client(t), faynosync.MirrorOptions{})
	require.ErrorIs(t, mirror.Add(t.Context(), tasks.Task{ID: id}), tasks.ErrFull)
	value, _ := f.get("task:" + id)
	assert.Empty(t, value)
}

// A worker may have the task before Add has written the record.
func TestAddDoesNotReplaceTheRecordOfAWorker(t *testing.T) {
	f := newFakeRedis()
	f.values["task:"+id] = `{"state":"STARTED"}`
	var log bytes.Buffer
	mirror := faynosync.NewMirror(&attempt{}, f.client(t), logTo(&log))
	require.NoError(t, mirror.Add(t.Context(), tasks.Task{ID: id}))
	assert.Empty(t, log.String(), "a record that exists is no failure")
	value, _ := f.get("task:" + id)
	assert.JSONEq(t, `{"state":"STARTED"}`, value)
}

// The caller may go away once the task is accepted.
func TestARecordIsWrittenAlthoughTheCallerHasGone(t *testing.T) {
	f := newFakeRedis()
	mirror := faynosync.NewMirror(&attempt{}, f.client(t), faynosync.MirrorOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, mirror.Add(ctx, tasks.Task{ID: id}))
	assert.Equal(t, map[string]any{"state": "PENDING"}, record(t, f))
}

func TestARecordThatCannotBeWrittenIsLoggedAndFailsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		fail     func(*fakeRedis)
		warnings int           // of three records
		takes    time.Duration // all of them together
	}{
		"no server": {func(f *fakeRedis) { f.down = true }, 3, 0},
		"a full server": {func(f *fakeRedis) {
			f.errors["task:"+id] = "OOM command not allowed when used memory > 'maxmemory'."
		}, 3, 0},
		"a replica": {func(f *fakeRedis) {
			f.errors["task:"+id] = "READONLY You can't write against a read only replica."
		}, 3, 0},
		"a server that hangs": {func(f *fakeRedis) { f.hangs = true }, 3, 15 * time.Second},
		"a server that works": {func(*fakeRedis) {}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRedis()
				test.fail(f)
				var log bytes.Buffer
				task := tasks.Task{ID: id, State: tasks.StateStarted, Attempt: 1, MaxAttempts: 1}
				mirror := faynosync.NewMirror(&attempt{task: task}, f.client(t), logTo(&log))
				start := time.Now()
				require.NoError(t, mirror.Add(t.Context(), task))
				worked := false
				require.NoError(t, mirror.Run(t.Context(), func(context.Context, tasks.Task) (tasks.Result, error) {
					worked = true
					return tasks.Result{}, nil
				}))
				assert.True(t, worked)
				assert.Equal(t, test.takes, time.Since(start))
				assert.Equal(t, test.warnings, bytes.Count(log.Bytes(), []byte("level=WARN")), "%s", &log)
				assert.Equal(t, test.warnings, bytes.Count(log.Bytes(), []byte("task="+id)), "%s", &log)
			})
		})
	}
}
