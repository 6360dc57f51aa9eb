package tufupdate_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A repository may ask for its roles to be signed earlier than the renewal would sign them by
// itself, but not for each document to be due as soon as it is signed.
func TestRolesAreRenewedAsEarlyAsTheRepositoryAsks(t *testing.T) {
	for name, test := range map[string]struct {
		signing int           // in days, of the seven that a document is valid
		after   time.Duration // when the first successor is there
	}{
		"not at all":             {0, 7*day/2 - 7*day/10},
		"later":                  {1, 7*day/2 - 7*day/10},
		"earlier":                {6, day},
		"for its whole validity": {7, 7*day/2 - 7*day/10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				expires := map[string]time.Time{"root": time.Now().AddDate(1, 0, 0)}
				for _, role := range []string{"targets", "snapshot", "timestamp"} {
					expires[role] = time.Now().Add(7 * day)
				}
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
					Expires: expires, ExpiryPeriod: 7, SigningPeriod: test.signing,
				})
				defer run(t, newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{})))()
				time.Sleep(test.after - 2*time.Hour)
				assert.EqualValues(t, 1, versions(t, newClient(t, repo))["timestamp"])
				time.Sleep(7*day/10 + 3*time.Hour) // jitter may have it earlier, by that much
				assert.EqualValues(t, 2, versions(t, newClient(t, repo))["timestamp"])
			})
		})
	}
}

func TestPeriodsInHoursAreKept(t *testing.T) {
	dir := filepath.Join("testdata", "repositories", "tuf-on-ci-expiry-period-hours")
	root, err := os.ReadFile(filepath.Join(dir, "root.json"))
	require.NoError(t, err)
	provider, err := keys.NewDir(filepath.Join(dir, "keys"), keys.DirOptions{Shared: true})
	require.NoError(t, err)
	store := copied(t, filepath.Join(dir, "store"))
	synctest.Test(t, func(t *testing.T) {
		u, err := tufupdate.New(tufupdate.Config{
			Store: store, Keys: provider, Roots: tufupdate.PinnedRoot(root), Logger: discard,
		})
		require.NoError(t, err)
		_, err = u.Roll(t.Context(), "app", nil)
		require.NoError(t, err)
		status, err := u.Status(t.Context(), "app")
		require.NoError(t, err)
		for _, role := range status.Roles {
			switch role.Role {
			case "timestamp":
				assert.Equal(t, 48*time.Hour, role.Expires.Sub(time.Now().UTC()))
			case "snapshot":
				assert.Equal(t, 365*day, role.Expires.Sub(time.Now().UTC()))
			}
		}
	})
}
