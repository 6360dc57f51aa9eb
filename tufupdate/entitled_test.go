package tufupdate_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// evil has a document say that hello.txt is something else, and returns the digest of that.
func evil(t *testing.T, md *metadata.TargetsType) metadata.HexBytes {
	t.Helper()
	info, err := metadata.TargetFile().FromBytes(testrepo.TopTarget, []byte("evil"), "sha256")
	require.NoError(t, err)
	md.Targets[testrepo.TopTarget] = info
	return info.Hashes["sha256"]
}

// The holders of a delegated role fill a role below theirs, and then declare for it the public half
// of the key that signs targets. A document does not name its role: what that key signed for them
// would count for targets.
func TestAKeyIsNotLentToThoseBelow(t *testing.T) {
	for _, asked := range []string{"snapshot", "child"} {
		t.Run(asked+" is asked for", func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
				Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}, Target: "team/file"}},
			})
			client := newClient(t, repo)
			repo.Upload(t, "team", 2, func(md *metadata.TargetsType) {
				repo.Declare(t, md, testrepo.Delegation{Name: "child", Paths: []string{"*"}})
			})
			child := metadata.Targets(time.Now().AddDate(1, 0, 0))
			evil(t, &child.Signed)
			_, err := repo.Store.Create(t.Context(), repo.File("child", 1),
				testrepo.SignWith(t, child, false, repo.Keys["child"]...))
			require.NoError(t, err)
			roll(t, newUpdater(t, repo, repo.Provider(t, "team", "child")), repo, "snapshot")
			require.NoError(t, client.Refresh())

			online := repo.Keys["targets"][0]
			delete(repo.Keys, "child")
			repo.Upload(t, "team", 3, func(md *metadata.TargetsType) {
				md.Delegations.Keys = map[string]*metadata.Key{online.ID: online.Public}
				md.Delegations.Roles[0].KeyIDs = []string{online.ID}
			})
			result, err := newUpdater(t, repo, repo.Provider(t, "team")).Roll(t.Context(), repo.App,
				[]string{asked})
			assert.NotContains(t, result.Versions, "child")
			if asked == "snapshot" {
				require.NoError(t, err)
				assert.NotEmpty(t, result.Warnings)
			}
			for name, data := range files(t, repo) {
				if roleOf(repo, name) == "child" {
					assert.False(t, goTufTrusts(repo, metadata.TARGETS, []byte(data)), name)
				}
			}
			_, err = client.Target("team/file")
			require.NoError(t, err)
		})
	}
}

// Somebody who holds a key that was replaced, and can write to the store, exchanges what the new
// key has signed, under its own number.
func TestAKeyThatWasReplacedIsBelievedOnce(t *testing.T) {
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT} {
		for _, inconsistent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, inconsistent %v", role, inconsistent), func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Inconsistent: inconsistent})
				revoked := repo.Keys[role]
				repo.Rotate(t, role)
				u := newUpdater(t, repo, repo.Provider(t))
				roll(t, u, repo)
				roll(t, u, repo)
				client := newClient(t, repo)
				require.NoError(t, client.Refresh())
				now := versions(t, client)[role]
				var stolen []byte
				if role == metadata.TARGETS {
					md := repo.Targets(t, role, now)
					evil(t, &md.Signed)
					stolen = testrepo.SignWith(t, md, false, revoked...)
				} else {
					md, err := metadata.Snapshot().FromBytes(repo.Read(t, repo.File(role, now)))
					require.NoError(t, err)
					md.Signed.Meta["evil.json"] = metadata.MetaFile(1)
					stolen = testrepo.SignWith(t, md, false, revoked...)
				}
				repo.Overwrite(t, repo.File(role, now), stolen)
				provider := repo.Provider(t)
				blames(t, repo.File(role, now), refused(t, newUpdater(t, repo, provider), repo, provider), role)
			})
		}
	}
}

// Without any key: bins share theirs, and the next document of one is put in the place of
// another's.
func TestADocumentIsNotTakenForThatOfARoleWithTheSameKey(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Succinct: 1, BinTarget: "some/file"})
	full, empty := "bin-0", "bin-1"
	if len(repo.Targets(t, full, 1).Signed.Targets) == 0 {
		full, empty = empty, full
	}
	u := newUpdater(t, repo, repo.Provider(t))
	roll(t, u, repo, empty)
	_, err := repo.Store.Create(t.Context(), repo.File(full, 2), repo.Read(t, repo.File(empty, 2)))
	require.NoError(t, err)
	for _, u := range []*tufupdate.Updater{newUpdater(t, repo, repo.Provider(t)), u} {
		result := roll(t, u, repo, "bin")
		assert.Greater(t, result.Versions[full], int64(2), "its number is passed over")
		_, err = newClient(t, repo).Target("some/file")
		require.NoError(t, err)
	}
}

// What was uploaded for roles that are new is taken in, whatever keys they share.
func TestNewRolesMayShareTheirKeys(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Delegation: []testrepo.Delegation{{Name: "a", Paths: []string{"a/*"}}}})
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: "b", Paths: []string{"b/*"}})
		md.Delegations.Roles[1].KeyIDs = md.Delegations.Roles[0].KeyIDs
	})
	repo.Keys["b"] = repo.Keys["a"]
	first := metadata.Targets(time.Now().AddDate(1, 0, 0))
	_, err := repo.Store.Create(t.Context(), repo.File("b", 1), testrepo.SignWith(t, first, false, repo.Keys["b"]...))
	require.NoError(t, err)
	result := roll(t, newUpdater(t, repo, repo.Provider(t, "targets")), repo)
	assert.Empty(t, result.Warnings)
	got := versions(t, newClient(t, repo))
	assert.EqualValues(t, 2, got["targets"])
	assert.EqualValues(t, 1, got["b"])
}

func TestAnExpiredUploadDoesNotReplaceWhatIsValid(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	repo.Upload(t, "targets", 2,
		func(md *metadata.TargetsType) { md.Expires = time.Now().Add(-time.Hour).UTC().Truncate(time.Second) })
	result := roll(t, newUpdater(t, repo, repo.Provider(t, "targets")), repo)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "it has expired")
	require.NoError(t, newClient(t, repo).Refresh())
}

// A provider may tell roles apart, whatever keys they share, but is asked once for all bins.
func TestAProviderIsAskedForEachRole(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: []testrepo.Delegation{
		{Name: "team-a", Paths: []string{"a/*"}}, {Name: "team-b", Paths: []string{"b/*"}},
	}})
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		md.Delegations.Roles[1].KeyIDs = md.Delegations.Roles[0].KeyIDs
	})
	repo.Keys["team-b"] = repo.Keys["team-a"]
	repo.Upload(t, "team-b", 2, nil)
	roll(t, newUpdater(t, repo, repo.Provider(t, "targets", "team-a", "team-b")), repo)
	asked := map[string]int{}
	roll(t, newUpdater(t, repo, nil, func(c *tufupdate.Config) { c.Keys = recording{repo.Provider(t), asked} }), repo,
		"team-a", "team-b")
	assert.Equal(t, map[string]int{"timestamp": 1, "snapshot": 1, "team-a": 1, "team-b": 1}, asked)

	bins := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 4})
	asked = map[string]int{}
	roll(t, newUpdater(t, bins, nil, func(c *tufupdate.Config) { c.Keys = recording{bins.Provider(t), asked} }), bins,
		"bin")
	assert.Len(t, asked, 3, "timestamp, snapshot, and one bin for all: %v", asked)
}

type recording struct {
	keys.Provider
	asked map[string]int
}

func (r recording) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	r.asked[req.Role]++ // under the keyring's lock
	return r.Provider.Signer(ctx, req)
}

// What panics in somebody else's code fails the roll, and nothing more.
func TestAPanicIsAnError(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	for name, change := range map[string]func(c *tufupdate.Config){
		"store":    func(c *tufupdate.Config) { c.Store = panicking{repo.Store} },
		"provider": func(c *tufupdate.Config) { c.Keys = panickingKeys{} },
		"settings": func(c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) { panic("oh no") }
		},
		"roots": func(c *tufupdate.Config) {
			c.Roots = func(context.Context, string) ([]byte, error) { panic("oh no") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newUpdater(t, repo, repo.Provider(t), change).Roll(t.Context(), repo.App, nil)
			assert.ErrorContains(t, err, "oh no")
		})
	}
}

type panicking struct{ storage.Store }

func (panicking) Get(context.Context, string) (storage.Object, error) { panic("oh no") }

type panickingKeys struct{}

func (panickingKeys) Signer(context.Context, keys.Request) (keys.Signer, error) { panic("oh no") }
