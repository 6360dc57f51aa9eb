package tufupdate_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

func status(t *testing.T, u *tufupdate.Updater, repo *testrepo.Repo) (map[string]tufupdate.RoleStatus, []string) {
	t.Helper()
	s, err := u.Status(t.Context(), repo.App)
	require.NoError(t, err)
	roles := map[string]tufupdate.RoleStatus{}
	for _, r := range s.Roles {
		roles[r.Role] = r
	}
	require.Len(t, roles, len(s.Roles), "each role once")
	return roles, s.Warnings
}

func TestStatusShowsEachRole(t *testing.T) {
	expires := time.Now().UTC().Truncate(time.Second).Add(time.Hour)
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
		Delegation: nested, Expires: map[string]time.Time{"timestamp": expires, "inner": expires.AddDate(0, -1, 0)},
	})
	u := newUpdater(t, repo, repo.Provider(t, "targets"), func(c *tufupdate.Config) { c.WarnExpiry = time.Hour })
	roll(t, u, repo, "snapshot")
	roles, warnings := status(t, u, repo)
	assert.Empty(t, warnings)
	assert.Len(t, roles, 4+4)
	for name, r := range roles {
		assert.True(t, r.Verified, name)
		assert.Empty(t, r.Problem, name)
		assert.Equal(t, name != "root" && name != "targets", r.Online, name)
	}
	assert.EqualValues(t, 2, roles["snapshot"].Version)
	assert.EqualValues(t, 1, roles["inner"].Version)
	assert.Equal(t, expires.AddDate(0, -1, 0), roles["inner"].Expires)
}

func TestStatusShowsEveryBin(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 4})
	roles, _ := status(t, newUpdater(t, repo, repo.Provider(t)), repo)
	assert.Len(t, roles, 4+16)
}

func TestStatusShowsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*testing.T, *testrepo.Repo)
		role    string
		problem string
	}{
		"tampered targets": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("targets", 1), []byte("{}"))
		}, "targets", "signatures: missing"},
		"targets gone": {func(t *testing.T, repo *testrepo.Repo) {
			require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), repo.File("targets", 1)))
		}, "targets", "no such object"},
		"tampered delegated role": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("inner", 1), repo.Read(t, repo.File("innermost", 1)))
		}, "inner", "too few valid signatures"},
		"tampered timestamp": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("timestamp", 0), repo.Read(t, repo.File("snapshot", 1)))
		}, "timestamp", `has type "snapshot"`},
		"tampered snapshot": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("snapshot", 1), repo.Read(t, repo.File("targets", 1)))
		}, "snapshot", `has type "targets"`},
		"rotated timestamp": {func(t *testing.T, repo *testrepo.Repo) { repo.Rotate(t, "timestamp") }, "timestamp",
			"signed by replaced keys"},
		"rotated targets": {func(t *testing.T, repo *testrepo.Repo) { repo.Rotate(t, "targets") }, "targets",
			"signed by replaced keys"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
			test.change(t, repo)
			provider := repo.Provider(t)
			roles, _ := status(t, newUpdater(t, repo, provider), repo)
			r := roles[test.role]
			assert.False(t, r.Verified)
			assert.Contains(t, r.Problem, test.problem)
			assert.Zero(t, provider.Signatures())
		})
	}
}

func TestStatusOfAnExpiredRootIsShown(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Expires: map[string]time.Time{"root": time.Now().Add(-time.Hour)}})
	roles, _ := status(t, newUpdater(t, repo, repo.Provider(t)), repo)
	assert.True(t, roles["root"].Expires.Before(time.Now()))
}

func TestStatusRefusesWhatIsNoApp(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t))
	_, err := u.Status(t.Context(), "acme/../app")
	assert.ErrorIs(t, err, tufupdate.ErrInvalidApp)
	_, err = u.Status(t.Context(), "acme/other")
	assert.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
}

func TestStatusShowsKeysThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		verb  keystest.Verb
		fault func(t *testing.T) keystest.Fault
		says  string
	}{
		"the provider fails": {keystest.Signer,
			func(*testing.T) keystest.Fault { return keystest.Fault{Err: errKeysDown} }, errKeysDown.Error()},
		"the public key is gone": {keystest.Public,
			func(*testing.T) keystest.Fault { return keystest.Fault{Err: errKeysDown} }, errKeysDown.Error()},
		"the key is another": {keystest.Public, func(t *testing.T) keystest.Fault {
			return keystest.Fault{Instead: testrepo.NewKey(t, testrepo.Ed25519).Signer(t)}
		}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
			roles, warnings := status(t, newUpdater(t, repo, repo.Provider(t), failing("innermost", test.verb, test.fault(t)),
				warnLate), repo)
			for name, r := range roles {
				assert.True(t, r.Verified, name)
				assert.Equal(t, name != "root" && name != "innermost", r.Online, name)
			}
			require.Len(t, warnings, 1)
			assert.Contains(t, warnings[0], "role innermost")
			assert.Contains(t, warnings[0], test.says)
		})
	}
}

// warnLate keeps warnings of what expires out of the way.
func warnLate(c *tufupdate.Config) { c.WarnExpiry = time.Second }

func TestBinsWhoseKeyCannotBeUsedAreOneWarning(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 4})
	var asked atomic.Int64
	u := newUpdater(t, repo, repo.Provider(t), failing("bin", keystest.Signer, keystest.Fault{Err: errKeysDown}), warnLate,
		func(c *tufupdate.Config) {
			c.Keys = late{c.Keys, func(keys.Request) bool { asked.Add(1); return false }}
		})
	roles, warnings := status(t, u, repo)
	assert.Len(t, roles, 4+16)
	assert.Len(t, warnings, 1)
	assert.LessOrEqual(t, asked.Load(), int64(4+1), "bins share their keys")
}
