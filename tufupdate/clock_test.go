package tufupdate_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A machine whose clock is two days behind must not replace a timestamp by one that has expired.
func TestWhatWouldHaveExpiredByTheStoresClockIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		var skew atomic.Int64
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = clocked{c.Store, &skew} })
		for ahead, want := range map[time.Duration]string{
			2 * day: "", -2 * day: "48h0m0s behind", time.Hour: "1h0m0s ahead", 0: "",
		} {
			skew.Store(int64(ahead))
			before := files(t, repo)
			result, err := u.Roll(t.Context(), repo.App, []string{"timestamp"})
			if ahead == 2*day {
				require.ErrorIs(t, err, tufupdate.ErrClock)
				assert.Equal(t, tufupdate.CodeClock, tufupdate.CodeOf(err))
				assert.Equal(t, before, files(t, repo))
				continue
			}
			require.NoError(t, err)
			if want == "" {
				assert.Empty(t, result.Warnings)
			} else {
				require.Len(t, result.Warnings, 1)
				assert.Contains(t, result.Warnings[0], want)
			}
			status, err := u.Status(t.Context(), repo.App)
			require.NoError(t, err)
			if want != "" {
				require.Len(t, status.Troubles, 1)
				assert.Equal(t, tufupdate.CodeClock, status.Troubles[0].Code)
			} else {
				assert.Empty(t, status.Troubles)
			}
		}
	})
}

// A document that lives longer than it was signed for, and one that expires before the one that it
// replaces, say that a clock is wrong or was. A validity that was changed says nothing.
func TestAClockThatWasWrongIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		memory := storage.NewMemory(storage.MemoryOptions{})
		updater := func(validity time.Duration) *tufupdate.Updater {
			return newUpdater(t, repo, repo.Provider(t), warnLate, func(c *tufupdate.Config) { c.Memory = memory },
				settings(tufupdate.Settings{Validity: map[string]time.Duration{"timestamp": validity}}))
		}
		_, err := updater(11*day).Roll(t.Context(), repo.App, []string{"timestamp"})
		require.NoError(t, err)
		result, err := updater(10*day).Roll(t.Context(), repo.App, []string{"timestamp"})
		require.NoError(t, err)
		assert.Empty(t, result.Warnings, "the validity is another")

		// The machine that has signed it was nine days ahead.
		key := repo.App + ".json"
		object, err := memory.Get(t.Context(), key)
		require.NoError(t, err)
		data := bytes.ReplaceAll(object.Data, []byte(`"validity":864000`), []byte(`"validity":86400`))
		_, err = memory.Replace(t.Context(), key, object.Version, data)
		require.NoError(t, err)

		u := updater(day)
		status, err := u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		require.Len(t, status.Troubles, 1)
		assert.Equal(t, "timestamp", status.Troubles[0].Role)
		assert.Equal(t, tufupdate.CodeClock, status.Troubles[0].Code)
		result, err = u.Roll(t.Context(), repo.App, []string{"timestamp"})
		require.NoError(t, err)
		require.Len(t, result.Warnings, 1)
		assert.Contains(t, result.Warnings[0], "before the one that it replaces")
		status, err = u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		assert.Empty(t, status.Troubles)
	})
}
