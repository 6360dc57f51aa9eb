package tufupdate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// A new root takes the old keys from a role. Clients reject the role's document from then on, until
// a roll signs it anew.
func TestRotatedKeysAreTakenUp(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		for name, options := range shapes {
			if name == "expired" {
				continue
			}
			t.Run(role+" "+name, func(t *testing.T) {
				t.Parallel()
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
				u := newUpdater(t, repo, repo.Provider(t))
				client := newClient(t, repo)
				require.NoError(t, client.Refresh())
				roll(t, u, repo, "timestamp")
				repo.Rotate(t, role)
				if role != "root" {
					require.Error(t, newClient(t, repo).Refresh(), "the rotation takes effect")
				}
				result := roll(t, u, repo, "snapshot")
				assert.Empty(t, result.Warnings)
				require.NoError(t, client.Refresh(), "a client from before")
				require.NoError(t, newClient(t, repo).Refresh(), "a new client")

				repo.Rotate(t, role)
				roll(t, newUpdater(t, repo, repo.Provider(t)), repo, "snapshot")
				require.NoError(t, client.Refresh())
			})
		}
	}
}

func TestARotatedSnapshotIsSignedAnewWhenOnlyTheTimestampIsAskedFor(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	repo.Rotate(t, "snapshot")
	result := roll(t, newUpdater(t, repo, repo.Provider(t)), repo, "timestamp")
	assert.Equal(t, []string{"snapshot", "timestamp"}, result.Roles)
	require.NoError(t, newClient(t, repo).Refresh())
}

func TestRotatedOfflineTargetsAreAWarningUntilTheirHoldersSign(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t, "targets"))
	repo.Rotate(t, "targets")
	result := roll(t, u, repo)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "signed by replaced keys")
	repo.Upload(t, "targets", 2, nil)
	assert.Empty(t, roll(t, u, repo).Warnings)
	require.NoError(t, newClient(t, repo).Refresh())
}

func TestADelegatedRoleWithNewKeysIsTakenUpWithItsDelegator(t *testing.T) {
	newKeys := func(repo *testrepo.Repo) func(md *metadata.TargetsType) {
		return func(md *metadata.TargetsType) {
			md.Delegations = nil
			repo.Declare(t, md, testrepo.Delegation{Name: "team", Paths: []string{"team/*"}})
		}
	}
	options := testrepo.Options{Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"},
		Target: "team/file"}}}

	t.Run("online", func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
		repo.Upload(t, "targets", 2, newKeys(repo))
		result := roll(t, newUpdater(t, repo, repo.Provider(t, "targets")), repo)
		assert.Empty(t, result.Warnings)
		assert.EqualValues(t, 2, result.Versions["team"], "it is signed by its new keys")
		_, err := newClient(t, repo).Target("team/file")
		require.NoError(t, err)
	})
	t.Run("offline", func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
		repo.Upload(t, "targets", 2, newKeys(repo))
		u := newUpdater(t, repo, repo.Provider(t, "targets", "team"))
		result := roll(t, u, repo)
		require.Len(t, result.Warnings, 1)
		client := newClient(t, repo)
		_, err := client.Target("team/file")
		require.NoError(t, err, "the old delegation stays until its role is signed")

		repo.Upload(t, "team", 2, nil)
		assert.Empty(t, roll(t, u, repo).Warnings)
		_, err = client.Target("team/file")
		require.NoError(t, err)
		assert.EqualValues(t, 2, versions(t, client)["targets"])
	})
}
