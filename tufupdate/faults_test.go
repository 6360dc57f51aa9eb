package tufupdate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

var errDown = errors.New("store is down")

// The ways in which a call fails: itself only, or it and all that follow.
var faults = map[string]func(c storagetest.Call, n int) storagetest.Fault{
	"fails once before it lands": func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n {
			f.Before = errDown
		}
		return f
	},
	"fails once after it landed": func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n {
			f.After = errDown
		}
		return f
	},
	"is the last that lands, unheard": func(c storagetest.Call, n int) (f storagetest.Fault) {
		switch {
		case c.N == n:
			f.After = errDown
		case c.N > n:
			f.Before = errDown
		}
		return f
	},
	"is the first that does not land": func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N >= n {
			f.Before = errDown
		}
		return f
	},
	"hangs, and all that follow": func(c storagetest.Call, n int) storagetest.Fault {
		return storagetest.Fault{Hang: c.N >= n}
	},
	"conflicts once": func(c storagetest.Call, n int) (f storagetest.Fault) {
		if c.N == n && c.Write > 0 {
			f.Before = storage.ErrConflict
		}
		return f
	},
}

// Each call that a roll makes × each way to fail × each shape: whatever happens, clients go on, versions grow, none has two contents, and the
// next roll succeeds. Which calls there are is found out by making them.
func TestNoFaultOfTheStoreBreaksARepository(t *testing.T) {
	for shape, options := range shapes {
		if shape == "all kinds of keys" || shape == "expired" {
			continue // of no matter to the store; RSA keys take long to make
		}
		calls := countCalls(t, options)
		require.Greater(t, calls, 5)
		for fault, decide := range faults {
			t.Run(shape+"/"+fault, func(t *testing.T) {
				t.Parallel()
				for n := 1; n <= calls; n++ {
					synctest.Test(t, func(t *testing.T) {
						failRoll(t, options, n, func(c storagetest.Call) storagetest.Fault { return decide(c, n) })
					})
				}
			})
		}
	}
}

func countCalls(t *testing.T, options testrepo.Options) int {
	repo := testrepo.New(t, storage.NewMemory(), options)
	flaky := storagetest.NewFlaky(repo.Store, nil)
	roll(t, newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky }), repo)
	return len(flaky.Calls())
}

func failRoll(t *testing.T, options testrepo.Options, n int, fault func(storagetest.Call) storagetest.Fault) {
	where := fmt.Sprintf("call %d", n)
	repo := testrepo.New(t, storage.NewMemory(), options)
	client := newClient(t, repo)
	require.NoError(t, client.Refresh(), where)
	before := files(t, repo)

	flaky := storagetest.NewFlaky(repo.Store, fault)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky }).Roll(ctx, repo.App, nil)
	after := files(t, repo)
	sameVersionsSameBytes(t, repo, before, after, where)
	if !options.Inconsistent || err == nil {
		require.NoError(t, client.Refresh(), "%s: a client from before", where)
		require.NoError(t, newClient(t, repo).Refresh(), "%s: a new client", where)
	}
	if err == nil {
		got := versions(t, client)
		assert.Greater(t, got["timestamp"], int64(1), where)
		assert.Greater(t, got["targets"], int64(1), where)
	}

	u := newUpdater(t, repo, repo.Provider(t))
	result := roll(t, u, repo)
	sameVersionsSameBytes(t, repo, after, files(t, repo), where)
	require.NoError(t, client.Refresh(), "%s: a client from before, after the next roll", where)
	got := versions(t, newClient(t, repo))
	for role, version := range result.Versions {
		assert.Equal(t, version, got[role], "%s: %s", where, role)
		assert.Greater(t, version, int64(1), "%s: %s", where, role)
	}
}

// sameVersionsSameBytes requires that no versioned file has changed or gone, and that unversioned ones changed only with their version.
func sameVersionsSameBytes(t *testing.T, repo *testrepo.Repo, before, after map[string]string, where string) {
	t.Helper()
	for name := range maps.Keys(before) {
		require.Contains(t, after, name, where)
		if before[name] == after[name] {
			continue
		}
		old, now := versionOf(t, before[name]), versionOf(t, after[name])
		assert.Greater(t, now, old, "%s: %s", where, name)
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
