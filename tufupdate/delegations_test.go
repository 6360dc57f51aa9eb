package tufupdate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// claim has the holders of a delegated role delegate to a name that is somebody else's, with keys
// of their own.
func claim(t *testing.T, repo *testrepo.Repo, from string, version int64, name string) {
	t.Helper()
	keys := repo.Keys[name]
	repo.Upload(t, from, version, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: name, Paths: []string{"a/*"}})
	})
	repo.Keys[name] = keys
}

func TestNobodyTakesAnotherOnesRole(t *testing.T) {
	for name, test := range map[string]struct{ from, name string }{
		"a role claims the one that delegates to it": {"inner", "team a"},
		"a role claims itself":                       {"inner", "inner"},
		"a role claims one of another branch":        {"innermost", "team+b/ü"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
			u := newUpdater(t, repo, repo.Provider(t, test.from))
			client := newClient(t, repo)
			require.NoError(t, client.Refresh())
			claim(t, repo, test.from, 2, test.name)
			if test.name == test.from {
				_, err := u.Roll(t.Context(), repo.App, nil)
				require.NoError(t, err)
			} else {
				result := roll(t, u, repo, "targets", test.name)
				assert.Equal(t, []string{"targets", test.name, "snapshot", "timestamp"}, result.Roles)
			}
			for _, target := range []string{testrepo.TopTarget, "a/file", "a/inner", "a/innermost", "b/file"} {
				_, err := client.Target(target)
				require.NoError(t, err, target)
			}
			roll(t, u, repo)
			require.NoError(t, client.Refresh())
		})
	}
}

func TestDelegationsMayBeDeep(t *testing.T) {
	var below []testrepo.Delegation
	for i := range 8 {
		name := string(rune('a' + i))
		below = []testrepo.Delegation{{Name: name, Paths: []string{name + "/*"}, Children: below}}
	}
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: below})
	u := newUpdater(t, repo, repo.Provider(t))
	result := roll(t, u, repo, "a")
	assert.Equal(t, map[string]int64{"a": 2, "snapshot": 2, "timestamp": 2}, result.Versions)
	require.NoError(t, newClient(t, repo).Refresh())
}
