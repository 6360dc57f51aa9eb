package tufupdate_test

import (
	"errors"
	"fmt"
	"strings"
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

// A writer has created files and died before the timestamp. Their numbers are never used again, and
// the files stay as they are. That costs a roll a few short pauses, and a few attempts of the 40
// that it has.
func TestNumbersOfACrashedWriterAreSkipped(t *testing.T) {
	for left, bound := range map[int]struct {
		waits    time.Duration
		attempts int
	}{
		1:   {300 * time.Millisecond, 2},
		3:   {time.Second, 4},
		100: {10 * time.Second, 25},
	} {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				attempts := passNumbers(t, left)
				assert.LessOrEqual(t, time.Since(begun), bound.waits)
				assert.LessOrEqual(t, attempts, bound.attempts)
			})
		})
	}
}

// passNumbers has a roll pass as many versions, and returns how many attempts it makes.
func passNumbers(t *testing.T, left int) (attempts int) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	for version := int64(2); version < int64(2+left); version++ {
		for _, role := range []string{"targets", "snapshot"} {
			_, err := repo.Store.Create(t.Context(), repo.File(role, version), []byte("left by a crash"))
			require.NoError(t, err)
		}
	}
	before := files(t, repo)
	flaky := storagetest.NewFlaky(repo.Store, nil)
	result := roll(t, newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky }), repo)
	for _, c := range flaky.Calls() {
		if c.Verb == storagetest.Create && strings.HasSuffix(c.Key, ".snapshot.json") {
			attempts++
		}
	}
	assert.Greater(t, result.Versions["snapshot"], int64(1+left))
	if left < 64 {
		for version := int64(1); version <= result.Versions["targets"]; version++ {
			assert.NotEmpty(t, repo.Read(t, repo.File("targets", version)), "no number is left out")
		}
	}
	assert.Greater(t, result.Versions["targets"], int64(1+left))
	require.NoError(t, newClient(t, repo).Refresh())
	for name, data := range files(t, repo) {
		if old, ok := before[name]; ok && name != repo.File("timestamp", 0) {
			assert.Equal(t, old, data, name)
		}
	}
	return attempts
}

// Rolls that fail leave a snapshot each, with a number that others then have to pass. However many
// there were, the next one gets through, and numbers stay within reason.
func TestAnyNumberOfFailuresIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
			testrepo.Options{Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}}})
		flaky := storagetest.NewFlaky(repo.Store, func(c storagetest.Call) (f storagetest.Fault) {
			if c.Write > 0 && strings.Contains(c.Key, "team") {
				f.Before = errors.New("forbidden")
			}
			return f
		})
		failing := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky })
		const failures = 100
		for range failures {
			_, err := failing.Roll(t.Context(), repo.App, []string{"team"})
			require.ErrorContains(t, err, "forbidden")
		}
		result := roll(t, newUpdater(t, repo, repo.Provider(t)), repo, "team")
		assert.Less(t, result.Versions["snapshot"], int64(10*failures))
		require.NoError(t, newClient(t, repo).Refresh())
	})
}
