package tufupdate_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

var discard = slog.New(slog.DiscardHandler)

// newUpdater returns an updater that pins the repository's first root.
func newUpdater(t testing.TB, repo *testrepo.Repo, provider *testrepo.Provider,
	change ...func(*tufupdate.Config)) *tufupdate.Updater {
	t.Helper()
	config := tufupdate.Config{Store: repo.Store, Keys: provider, Roots: pinned(repo), Logger: discard}
	for _, f := range change {
		f(&config)
	}
	u, err := tufupdate.New(config)
	require.NoError(t, err)
	return u
}

// pinned pins the first root of each repository. Other apps have none.
func pinned(repos ...*testrepo.Repo) func(context.Context, string) ([]byte, error) {
	return func(_ context.Context, app string) ([]byte, error) {
		for _, repo := range repos {
			if repo.App == app {
				return repo.Root, nil
			}
		}
		return nil, tufupdate.ErrNotBootstrapped
	}
}

// trustFirst has an updater trust the first root that it sees.
func trustFirst(c *tufupdate.Config) { c.Roots = tufupdate.TrustFirstRoot }

// pinning has an updater pin the first roots of several repositories.
func pinning(repos ...*testrepo.Repo) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) { c.Roots = pinned(repos...) }
}

func roll(t testing.TB, u *tufupdate.Updater, repo *testrepo.Repo, roles ...string) tasks.Result {
	t.Helper()
	result, err := u.Roll(t.Context(), repo.App, roles)
	require.NoError(t, err)
	return result
}

func newClient(t testing.TB, repo *testrepo.Repo) *testrepo.Client {
	t.Helper()
	return testrepo.NewClient(t, repo.Store, repo.App, repo.Root, true)
}

func versions(t testing.TB, c *testrepo.Client) map[string]int64 {
	t.Helper()
	v, err := c.Versions()
	require.NoError(t, err)
	return v
}

// nested are delegations three deep, with thresholds and names that need quoting.
var nested = []testrepo.Delegation{
	{Name: "team a", Paths: []string{"a/*"}, Target: "a/file", Children: []testrepo.Delegation{
		{Name: "inner", Paths: []string{"a/*"}, Target: "a/inner", Children: []testrepo.Delegation{
			{Name: "innermost", Paths: []string{"a/*"}, Target: "a/innermost"},
		}},
	}},
	{Name: "team+b/ü", Paths: []string{"b/*"}, Target: "b/file"},
}

// shapes are the kinds of repositories that every rule is to hold for.
var shapes = map[string]testrepo.Options{
	"plain":                        {},
	"without consistent snapshots": {Inconsistent: true},
	"hashes listed":                {Hashes: true},
	"hashes without consistent":    {Hashes: true, Inconsistent: true},
	"pretty with unknown fields":   {Pretty: true, Unknown: true, Hashes: true},
	"all kinds of keys": {Keys: map[string]string{
		"root": testrepo.RSA, "targets": testrepo.RSA, "snapshot": testrepo.ECDSA, "timestamp": testrepo.Ed25519,
	}},
	"thresholds of two": {Threshold: map[string]int{"root": 2, "targets": 2, "snapshot": 2, "timestamp": 2,
		"inner": 2}, Delegation: nested},
	"nested":                    {Delegation: nested},
	"nested without consistent": {Delegation: nested, Inconsistent: true},
	"hash bins":                 {HashBins: 16},
	"succinct bins":             {Succinct: 5},
	"expired": {Expires: map[string]time.Time{
		"targets": time.Now().AddDate(0, 0, -1), "snapshot": time.Now().AddDate(0, 0, -2), "timestamp": time.Now().AddDate(0,
			0, -3),
	}},
}

func TestARollRaisesVersionsAndClientsFollow(t *testing.T) {
	for name, options := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
			u := newUpdater(t, repo, repo.Provider(t))
			client := newClient(t, repo)
			if name != "expired" {
				require.NoError(t, client.Refresh())
			}
			for round := int64(2); round <= 4; round++ {
				result := roll(t, u, repo)
				assert.Equal(t, []string{"targets", "snapshot", "timestamp"}, result.Roles)
				assert.Equal(t, map[string]int64{"targets": round, "snapshot": round, "timestamp": round}, result.Versions)
				assert.Empty(t, result.Warnings)
				data, err := client.Target(testrepo.TopTarget)
				require.NoError(t, err)
				assert.Equal(t, testrepo.TopTarget, string(data))
				got := versions(t, client)
				for role, version := range result.Versions {
					assert.Equal(t, version, got[role], role)
				}
			}
			for _, target := range []string{"a/file", "a/inner", "a/innermost", "b/file"} {
				if options.Delegation != nil {
					_, err := client.Target(target)
					require.NoError(t, err, target)
				}
			}
		})
	}
}

// A document that delegates to very many roles, one of which is not there yet, is left for later,
// even if what was being read for it is given up.
func TestAHalfUploadAmongManyRolesIsNotInTheWay(t *testing.T) {
	var many []testrepo.Delegation
	for i := range 40 { // more than are read ahead
		many = append(many, testrepo.Delegation{Name: fmt.Sprintf("d%02d", i), Paths: []string{fmt.Sprintf("d%02d/*", i)}})
	}
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: many})
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: "late", Paths: []string{"late/*"}})
		roles := md.Delegations.Roles
		roles[0], roles[len(roles)-1] = roles[len(roles)-1], roles[0]
	})
	synctest.Test(t, func(t *testing.T) {
		u := newUpdater(t, repo, repo.Provider(t, "targets", "late"),
			func(c *tufupdate.Config) { c.Store = unequal{repo.Store} })
		result := roll(t, u, repo, "snapshot")
		assert.NotEmpty(t, result.Warnings)
		require.NoError(t, newClient(t, repo).Refresh())
	})
}

// unequal is a store that finds out sooner what is not there than what is, and takes a while to
// give up.
type unequal struct{ storage.Store }

func (s unequal) Get(ctx context.Context, key string) (storage.Object, error) {
	delay := 20 * time.Millisecond
	if strings.Contains(key, "late") {
		delay = 5 * time.Millisecond
	}
	select {
	case <-time.After(delay):
		return s.Store.Get(ctx, key)
	case <-ctx.Done():
		time.Sleep(time.Millisecond)
		return storage.Object{}, ctx.Err()
	}
}

func TestRolesBringThoseAboveThem(t *testing.T) {
	for _, test := range []struct {
		asked, signed []string
	}{
		{nil, []string{"targets", "snapshot", "timestamp"}},
		{[]string{"timestamp"}, []string{"timestamp"}},
		{[]string{"snapshot"}, []string{"snapshot", "timestamp"}},
		{[]string{"targets"}, []string{"targets", "snapshot", "timestamp"}},
		{[]string{"innermost"}, []string{"innermost", "snapshot", "timestamp"}},
		{[]string{"team+b/ü", "targets", "targets"}, []string{"targets", "team+b/ü", "snapshot", "timestamp"}},
	} {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
		u := newUpdater(t, repo, repo.Provider(t))
		assert.Equal(t, test.signed, roll(t, u, repo, test.asked...).Roles, "asked for %v", test.asked)
		require.NoError(t, newClient(t, repo).Refresh())
	}
}

func TestDefaultsAndNamedRolesShareARoll(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	// The first roll holds the store until the others have come.
	var begun sync.Once
	busy, others := make(chan struct{}), make(chan struct{})
	flaky := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
		begun.Do(func() { close(busy); <-others })
		return storagetest.Fault{}
	})
	u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky })
	var group errgroup.Group
	ask := func(want []string, roles ...string) {
		group.Go(func() error {
			result, err := u.Roll(t.Context(), repo.App, roles)
			assert.Subset(t, result.Roles, want)
			return err
		})
	}
	ask([]string{"timestamp"}, "timestamp")
	<-busy
	ask([]string{"targets", "snapshot", "timestamp"})
	ask([]string{"inner", "snapshot", "timestamp"}, "inner")
	close(others)
	require.NoError(t, group.Wait())
	require.NoError(t, newClient(t, repo).Refresh())
}

func TestAPrefixNamesAllBins(t *testing.T) {
	for prefix, options := range map[string]testrepo.Options{"bins": {HashBins: 16}, "bin": {Succinct: 4}} {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
		u := newUpdater(t, repo, repo.Provider(t))
		result := roll(t, u, repo, prefix)
		assert.Len(t, result.Roles, 16+2)
		assert.EqualValues(t, 2, result.Versions[prefix+"-a"])
		result = roll(t, u, repo, prefix+"-a")
		assert.Equal(t, map[string]int64{prefix + "-a": 3, "snapshot": 3, "timestamp": 3}, result.Versions)
		assert.EqualValues(t, 3, versions(t, newClient(t, repo))[prefix+"-a"])
	}
}

func TestUploadedOfflineDocumentsEnterTheSnapshot(t *testing.T) {
	for name, inconsistent := range map[string]bool{"consistent": false, "without consistent snapshots": true} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
				testrepo.Options{Delegation: nested, Inconsistent: inconsistent})
			u := newUpdater(t, repo, repo.Provider(t, "targets", "inner"))
			client := newClient(t, repo)
			roll(t, u, repo)

			repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) { repo.AddTarget(t, md, "new.txt") })
			repo.Upload(t, "inner", 2, func(md *metadata.TargetsType) { repo.AddTarget(t, md, "a/new") })
			result := roll(t, u, repo, "timestamp")
			require.Empty(t, result.Warnings)
			result = roll(t, u, repo)
			assert.Equal(t, []string{"snapshot", "timestamp"}, result.Roles)
			got := versions(t, client)
			assert.EqualValues(t, 2, got["targets"])
			assert.EqualValues(t, 2, got["inner"])
			for _, target := range []string{"new.txt", "a/new", "a/innermost"} {
				_, err := client.Target(target)
				require.NoError(t, err, target)
			}
		})
	}
}

func TestANewDelegationEntersOnceItsRoleIsThere(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Hashes: true, Pretty: true})
	u := newUpdater(t, repo, repo.Provider(t, "targets", "new"))
	client := newClient(t, repo)
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: "new", Paths: []string{"new/*"}})
	})
	result := roll(t, u, repo)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], "ignoring unlisted version 2 of role targets")
	assert.Contains(t, result.Warnings[0], "delegated role new")
	assert.EqualValues(t, 1, versions(t, client)["targets"])

	repo.Upload(t, "new", 1, func(md *metadata.TargetsType) { repo.AddTarget(t, md, "new/file") })
	result = roll(t, u, repo)
	assert.Empty(t, result.Warnings)
	got := versions(t, client)
	assert.EqualValues(t, 2, got["targets"])
	assert.EqualValues(t, 1, got["new"])
	_, err := client.Target("new/file")
	require.NoError(t, err)
}

func TestABadUploadStopsNothing(t *testing.T) {
	for name, bad := range map[string]func(*testing.T, *testrepo.Repo) []byte{
		"half uploaded": func(t *testing.T, r *testrepo.Repo) []byte {
			good := r.NextTargets(t, "targets", 2, nil)
			return good[:len(good)/2]
		},
		"empty": func(*testing.T, *testrepo.Repo) []byte { return nil },
		"signed by a stranger": func(t *testing.T, r *testrepo.Repo) []byte {
			md, err := metadata.Targets().FromBytes(r.NextTargets(t, "targets", 2, nil))
			require.NoError(t, err)
			return testrepo.SignWith(t, md, false, testrepo.NewKey(t, testrepo.Ed25519))
		},
		"of another version": func(t *testing.T, r *testrepo.Repo) []byte {
			return r.NextTargets(t, "targets", 2, func(md *metadata.TargetsType) { md.Version = 7 })
		},
		"of another role": func(t *testing.T, r *testrepo.Repo) []byte { return r.Read(t, r.File("snapshot", 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			u := newUpdater(t, repo, repo.Provider(t, "targets"))
			_, err := repo.Store.Create(t.Context(), repo.File("targets", 2), bad(t, repo))
			require.NoError(t, err)
			result := roll(t, u, repo)
			require.Len(t, result.Warnings, 1)
			assert.Contains(t, result.Warnings[0], "ignoring unlisted version 2 of role targets")
			assert.Equal(t, map[string]int64{"snapshot": 2, "timestamp": 2}, result.Versions)
			require.NoError(t, newClient(t, repo).Refresh())

			repo.Upload(t, "targets", 3, nil)
			result = roll(t, u, repo)
			assert.EqualValues(t, 3, versions(t, newClient(t, repo))["targets"], "the next number is accepted")
		})
	}
}
