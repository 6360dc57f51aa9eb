package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
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

// putAll writes documents of targets roles: version.role to content.
func putAll(t *testing.T, repo *testrepo.Repo, documents map[string][]byte) {
	t.Helper()
	for name, data := range documents {
		_, err := repo.Store.Create(t.Context(), repo.App+"/"+name+".json", data)
		require.NoError(t, err)
	}
}

// padded returns a document that is so large that it is not kept if it does not verify.
func padded(t *testing.T, key *testrepo.Key, version int64, delegations string) []byte {
	t.Helper()
	return signText(t, key, fmt.Sprintf(`{"_type":"targets","custom":"%s",%s"expires":"2099-01-01T00:00:00Z",`+
		`"spec_version":"1.0.31","targets":{},"version":%d}`, strings.Repeat("x", 300_000), delegations, version))
}

// Two unlisted versions share a child that is still being read when the newer one is given up.
func TestAnUploadThatIsGivenUpLeavesNothingUndecided(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Delegation: []testrepo.Delegation{{Name: "a", Paths: []string{"a/*"}}}})
	keyA, key := repo.Keys["a"][0], testrepo.NewKey(t, testrepo.Ed25519)
	putAll(t, repo, map[string][]byte{
		"2.a": targetsFile(t, keyA, 2, &delegation{key, []string{"x"}}),
		"3.a": targetsFile(t, keyA, 3, &delegation{key, []string{"x", "y"}}), // there is no y
		"1.x": targetsFile(t, key, 1, nil),
	})
	_, err := newUpdater(t, repo, repo.Provider(t, "a")).Roll(t.Context(), repo.App, []string{"targets", "no-such-role"})
	require.ErrorIs(t, err, tufupdate.ErrUnknownRole)
	u := newUpdater(t, repo, repo.Provider(t, "a"))
	result := roll(t, u, repo, "targets")
	assert.EqualValues(t, 2, result.Versions["targets"])
	assert.Len(t, result.Warnings, 1)
	got := versions(t, newClient(t, repo))
	assert.EqualValues(t, 2, got["a"])
	assert.EqualValues(t, 1, got["x"])
	status, err := u.Status(t.Context(), repo.App)
	require.NoError(t, err)
	assert.Len(t, status.Roles, 6)
}

// Large files that one role has signed and another of that name has not.
func TestLargeFilesThatRolesDisagreeAboutAreReadAFewTimes(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Delegation: []testrepo.Delegation{{Name: "a", Paths: []string{"a/*"}}}})
	keyA, key, other := repo.Keys["a"][0], testrepo.NewKey(t, testrepo.Ed25519), testrepo.NewKey(t, testrepo.Ed25519)
	putAll(t, repo, map[string][]byte{
		"1.c1": targetsFile(t, key, 1, nil), "1.c2": targetsFile(t, key, 1, nil), "1.b1": targetsFile(t, key, 1, nil),
		"2.a": targetsFile(t, keyA, 2, &delegation{key, []string{"c1", "c2", "b1"}}),
	})
	roll(t, newUpdater(t, repo, repo.Provider(t, "a")), repo, "snapshot")
	toB2 := fmt.Sprintf(`"delegations":{"keys":{"%s":{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}},`+
		`"roles":[{"keyids":["%s"],"name":"b2","paths":["*"],"terminating":false,"threshold":1}]},`,
		key.ID, key.Private.Public(), key.ID)
	putAll(t, repo, map[string][]byte{
		"2.c1": targetsFile(t, key, 2, &delegation{other, []string{"b1"}}),
		"2.c2": targetsFile(t, key, 2, &delegation{other, []string{"b2"}}),
		"2.b1": padded(t, key, 2, toB2),
		"1.b2": padded(t, key, 1, ""),
	})
	store := &countingReads{Store: repo.Store}
	u := newUpdater(t, repo, repo.Provider(t, "a"), func(c *tufupdate.Config) { c.Store = store })
	roll(t, u, repo, "snapshot")
	assert.LessOrEqual(t, store.reads.Load(), int64(40))
	require.NoError(t, newClient(t, repo).Refresh())
}

// A holder's uploads make the judge wait again and again, beside very many other roles.
func TestManyUploadsBesideManyRolesAreReadOnce(t *testing.T) {
	const others, uploads = 200, 8
	var all []testrepo.Delegation
	offline := []string{"evil"}
	for i := range others {
		all = append(all, testrepo.Delegation{Name: fmt.Sprintf("r%04d", i), Paths: []string{"a/*"}})
		offline = append(offline, all[i].Name)
	}
	all = append(all, testrepo.Delegation{Name: "evil", Paths: []string{"a/*"}})
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: all})
	keyE, key := repo.Keys["evil"][0], testrepo.NewKey(t, testrepo.Ed25519)
	for v := int64(2); v < 2+uploads; v++ {
		child := fmt.Sprintf("c%d", v)
		documents := map[string][]byte{
			fmt.Sprintf("%d.evil", v): targetsFile(t, keyE, v, &delegation{key, []string{child}}),
		}
		for w := int64(1); w <= 64; w++ {
			documents[fmt.Sprintf("%d.%s", w, child)] = targetsFile(t, key, w, &delegation{key, []string{child + "-missing"}})
		}
		putAll(t, repo, documents)
	}
	store := &countingReads{Store: repo.Store}
	u := newUpdater(t, repo, repo.Provider(t, offline...), func(c *tufupdate.Config) { c.Store = store })
	roll(t, u, repo, "snapshot")
	assert.LessOrEqual(t, store.reads.Load(), int64(20+2*(others+2)+uploads*(1+64+2)))
}

// hangsOn is a store that does not answer for some names.
func hangsOn(store storage.Store, part string) *storagetest.Flaky {
	return storagetest.NewFlaky(store, func(c storagetest.Call) storagetest.Fault {
		return storagetest.Fault{Hang: strings.Contains(c.Key, part)}
	})
}

// The timestamp is due, and a delegated role's file is not to be had.
func TestWhatHangsBelowHoldsUpNoRoleAbove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
			Expires:    map[string]time.Time{"timestamp": time.Now().Add(time.Hour)},
			Delegation: []testrepo.Delegation{{Name: "slow", Paths: []string{"a/*"}}},
		})
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
			c.Store, c.RollTimeout = hangsOn(repo.Store, "1.slow"), time.Minute
			c.Renew = &tufupdate.Renew{Apps: appsOf([]*testrepo.Repo{repo})}
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- u.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		assert.Greater(t, versions(t, newClient(t, repo))["timestamp"], int64(1))
		cancel()
		require.NoError(t, <-ended)
	})
}

// A roll of the same process publishes while a status, or a check of the renewal, reads.
func TestASurveyIsNotRefusedForWhatIsPublishedMeanwhile(t *testing.T) {
	for _, during := range []string{"1.snapshot.json", "1.targets.json"} { // which are waited for
		t.Run(during, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			var u *tufupdate.Updater
			var rolled atomic.Bool
			store := storagetest.NewFlaky(repo.Store, func(c storagetest.Call) storagetest.Fault {
				if strings.HasSuffix(c.Key, "/"+during) && rolled.CompareAndSwap(false, true) {
					roll(t, u, repo, "timestamp")
				}
				return storagetest.Fault{}
			})
			u = newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = store })
			status, err := u.Status(t.Context(), repo.App)
			require.NoError(t, err)
			require.True(t, rolled.Load())
			for _, role := range status.Roles {
				assert.Empty(t, role.Problem, role.Role)
			}
			assert.Len(t, status.Roles, 4)
		})
	}
}

// A file that was only likely to be needed, and is not.
func TestAGuessThatHangsHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = hangsOn(repo.Store, "/3.root") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := u.Roll(ctx, repo.App, nil)
		require.NoError(t, err)
	})
}

// An attacker has the first load fail, and exchanges the repository before the next one.
func TestTheFirstRootSeenIsTrustedAlthoughWhatFollowsFails(t *testing.T) {
	for _, broken := range []string{"2.root.json", "timestamp.json"} {
		t.Run(broken, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			stranger := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			repo.Overwrite(t, repo.App+"/"+broken, []byte("garbage"))
			provider := stranger.Provider(t) // whose public keys the stranger's root declares
			u := newUpdater(t, repo, provider, trustFirst)
			_, err := u.Roll(t.Context(), repo.App, []string{"timestamp"})
			require.Error(t, err)
			require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), repo.App+"/"+broken))
			for name, data := range files(t, stranger) {
				repo.Overwrite(t, name, []byte(data))
			}
			_, err = u.Roll(t.Context(), repo.App, []string{"timestamp"})
			verification, ok := errors.AsType[*tufupdate.VerificationError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, repo.File("root", 1), verification.File)
			assert.Zero(t, provider.Signatures())
		})
	}
}
