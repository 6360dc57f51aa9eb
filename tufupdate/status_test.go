package tufupdate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
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
	repo := testrepo.New(t, storage.NewMemory(), testrepo.Options{
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
	repo := testrepo.New(t, storage.NewMemory(), testrepo.Options{Succinct: 4})
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
		"rotated timestamp": {func(t *testing.T, repo *testrepo.Repo) { repo.Rotate(t, "timestamp") }, "timestamp", "keys that the role no longer has"},
		"rotated targets":   {func(t *testing.T, repo *testrepo.Repo) { repo.Rotate(t, "targets") }, "targets", "keys that the role no longer has"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(), testrepo.Options{Delegation: nested})
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
	repo := testrepo.New(t, storage.NewMemory(), testrepo.Options{Expires: map[string]time.Time{"root": time.Now().Add(-time.Hour)}})
	roles, _ := status(t, newUpdater(t, repo, repo.Provider(t)), repo)
	assert.True(t, roles["root"].Expires.Before(time.Now()))
}

func TestStatusRefusesWhatIsNoApp(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t))
	_, err := u.Status(t.Context(), "acme/../app")
	assert.ErrorIs(t, err, tufupdate.ErrInvalidApp)
	_, err = u.Status(t.Context(), "acme/other")
	assert.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
}
