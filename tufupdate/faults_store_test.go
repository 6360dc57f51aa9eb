package tufupdate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

var errDown = errors.New("store is down")

// A storeFault is a way in which the n-th call fails: it alone, or it and all that follow.
type storeFault struct {
	name   string
	decide func(c storagetest.Call, n int) storagetest.Fault
	passes bool   // the roll succeeds all the same
	says   string // what the error says otherwise
}

var storeFaults = []storeFault{
	{name: "fails once before it lands", passes: true, decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n {
			f.Before = errDown
		}
		return f
	}},
	{name: "fails once after it landed", passes: true, decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n {
			f.After = errDown
		}
		return f
	}},
	{name: "is the last that lands, unheard", says: errDown.Error(),
		decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
			switch {
			case c.N == n:
				f.After = errDown
			case c.N > n:
				f.Before = errDown
			}
			return f
		}},
	{name: "is the first that does not land", says: errDown.Error(),
		decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
			if c.N >= n {
				f.Before = errDown
			}
			return f
		}},
	{name: "hangs once", passes: true, decide: func(c storagetest.Call, n int) storagetest.Fault {
		return storagetest.Fault{Hang: c.N == n}
	}},
	{name: "hangs, and all that follow", says: context.DeadlineExceeded.Error(),
		decide: func(c storagetest.Call, n int) storagetest.Fault {
			return storagetest.Fault{Hang: c.N >= n}
		}},
	{name: "conflicts once", passes: true, decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n && c.Write > 0 {
			f.Before = storage.ErrConflict
		}
		return f
	}},
	{
		name: "conflicts, as do all writes that follow", says: tufupdate.ErrConflict.Error(),
		decide: func(c storagetest.Call, n int) (f storagetest.Fault) {
			if c.N >= n && c.Write > 0 {
				f.Before = storage.ErrConflict
			}
			return f
		},
	},
}

// Each call that accepting and doing a task makes × each way to fail × each scenario: whatever
// happens, clients go on, versions grow, none has two contents, the task says what happened, and
// the next roll succeeds. Which calls there are is found out by making them.
func TestNoFaultOfTheStoreBreaksARepository(t *testing.T) {
	faulty(t, len(storeFaults), func(t *testing.T, st *stage) int {
		flaky := storagetest.NewFlaky(st.repo.Store, nil)
		task, err := st.force(t, st.provider(t, st.repo), func(c *tufupdate.Config) { c.Store = flaky })
		require.NoError(t, err)
		require.Equal(t, tasks.StateSuccess, task.State, task.Result.Error)
		return len(flaky.Calls())
	}, func(t *testing.T, st *stage, kind, n int) {
		st.failStore(t, storeFaults[kind], n)
	})
}

// force asks for the stage's roles, and waits for what becomes of it. err says that it was not
// accepted.
func (st *stage) force(t *testing.T, provider keys.Provider, change func(*tufupdate.Config)) (tasks.Task, error) {
	u := newUpdater(t, st.repo, nil, func(c *tufupdate.Config) {
		c.Keys, c.Tasks = provider, tasks.NewMemory(tasks.MemoryOptions{MaxAttempts: 1}) // the fault stays
	}, change)
	defer run(t, u)()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	accepted, err := u.ForceOnline(ctx, st.repo.App, st.roles())
	if err != nil {
		return tasks.Task{}, err
	}
	task, err := u.Wait(ctx, accepted.ID)
	require.NoError(t, err)
	return task, nil
}

func (st *stage) failStore(t *testing.T, fault storeFault, n int) {
	where := fmt.Sprintf("call %d %s", n, fault.name)
	before := files(t, st.repo)
	flaky := storagetest.NewFlaky(st.repo.Store, func(c storagetest.Call) storagetest.Fault { return fault.decide(c, n) })
	task, err := st.force(t, st.provider(t, st.repo), func(c *tufupdate.Config) { c.Store = flaky })
	after := files(t, st.repo)
	sameVersionsSameBytes(t, st.repo, before, after, where)

	timestamp := st.repo.File("timestamp", 0)
	switch {
	case err == nil && task.State == tasks.StateSuccess:
		st.published(t, task.Result.Versions, where)
	case err != nil:
		assert.ErrorContains(t, err, fault.says, where)
		assert.Equal(t, before, after, "%s: what was not accepted changes nothing", where)
	default:
		assert.Equal(t, tasks.StateFailure, task.State, where)
		assert.Contains(t, task.Result.Error, "app "+st.repo.App, where)
		assert.Contains(t, task.Result.Error, fault.says, where)
		if before[timestamp] != after[timestamp] { // its write landed, unheard
			assert.Contains(t, task.Result.Error, "writing "+timestamp, where)
			st.refresh(t, nil, where)
		}
	}
	assert.True(t, !fault.passes || task.State == tasks.StateSuccess, "%s: %v %s", where, err, task.Result.Error)
	if st.whole && !st.inconsistent && task.State != tasks.StateSuccess {
		st.refresh(t, nil, where)
	}
	st.rollAgain(t, after, where)
}

// rollAgain requires that, whatever has happened, the next roll succeeds, and that all clients get
// what it publishes.
func (st *stage) rollAgain(t *testing.T, before map[string]string, where string) {
	t.Helper()
	u := newUpdater(t, st.repo, st.provider(t, st.repo))
	result, err := u.Roll(t.Context(), st.repo.App, st.roles())
	require.NoError(t, err, where)
	for _, warning := range result.Warnings { // after a rotation another file takes a place
		assert.Contains(t, warning, "a new one takes its place", where)
	}
	sameVersionsSameBytes(t, st.repo, before, files(t, st.repo), where)
	timestamp := st.repo.File("timestamp", 0)
	assert.Greater(t, result.Versions["timestamp"], versionOf(t, before[timestamp]), where)
	st.published(t, result.Versions, where)
}

// sameVersionsSameBytes requires that no versioned file has changed or gone, and that unversioned
// ones changed only with their version.
func sameVersionsSameBytes(t *testing.T, repo *testrepo.Repo, before, after map[string]string, where string) {
	t.Helper()
	for name := range maps.Keys(before) {
		require.Contains(t, after, name, where)
		if before[name] == after[name] {
			continue
		}
		var md struct{ Signed struct{ Version int64 } }
		if json.Unmarshal([]byte(before[name]), &md) == nil { // or else it was no document
			assert.Greater(t, versionOf(t, after[name]), md.Signed.Version, "%s: %s", where, name)
		}
		assert.NotRegexp(t, `/\d+\.[^/]*$`, name, where)
	}
}

func versionOf(t *testing.T, file string) int64 {
	t.Helper()
	var md struct {
		Signed struct{ Version int64 }
	}
	require.NoError(t, json.Unmarshal([]byte(file), &md))
	return md.Signed.Version
}
