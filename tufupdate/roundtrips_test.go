package tufupdate_test

import (
	"fmt"
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

// A cost is what a roll costs in calls of the store: those that it waits for one after the other,
// and all.
type cost struct{ depth, calls int }

// A slowStore is a repository's store, each call of which takes as long as any other, in the time
// of a synctest bubble.
func slowStore(repo *testrepo.Repo) *storagetest.Flaky {
	return storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
		time.Sleep(roundTrip)
		return storagetest.Fault{}
	})
}

const roundTrip = 20 * time.Millisecond

// costOf rolls, and returns what that costs.
func costOf(t *testing.T, u *tufupdate.Updater, repo *testrepo.Repo, slow *storagetest.Flaky, roles ...string) cost {
	t.Helper()
	before, start := len(slow.Calls()), time.Now()
	roll(t, u, repo, roles...)
	elapsed := time.Since(start)
	require.Zero(t, elapsed%roundTrip, "nothing else takes time")
	return cost{int(elapsed / roundTrip), len(slow.Calls()) - before}
}

// What a roll waits for: storage calls that lie one after the other, and how many there are in all.
func TestRoundTripsOfARoll(t *testing.T) {
	for name, test := range map[string]struct {
		options    testrepo.Options
		offline    []string
		roles      []string
		change     func(*tufupdate.Config)
		cold, warm cost
	}{
		"all three roles":        {cold: cost{5, 9}, warm: cost{2, 4}},
		"snapshot and timestamp": {roles: []string{"snapshot"}, cold: cost{5, 8}, warm: cost{2, 4}},
		"timestamp":              {roles: []string{"timestamp"}, cold: cost{3, 5}, warm: cost{1, 2}},
		"targets offline":        {offline: []string{"targets"}, cold: cost{5, 8}, warm: cost{2, 4}},
		"a delegated role": {options: testrepo.Options{Delegation: nested}, roles: []string{"inner"},
			cold: cost{5, 17}, warm: cost{2, 8}},
		"succinct bins": {options: testrepo.Options{Succinct: 4}, cold: cost{5, 41}, warm: cost{2, 4}},
		"all bins of a prefix": {options: testrepo.Options{Succinct: 4}, roles: []string{"bin"}, cold: cost{5, 56},
			warm: cost{2, 20}},
		"without consistent": {options: testrepo.Options{Inconsistent: true}, cold: cost{6, 8}, warm: cost{4, 7}},
		"timestamp, not consistent": {options: testrepo.Options{Inconsistent: true}, roles: []string{"timestamp"},
			cold: cost{3, 5}, warm: cost{2, 4}},
		"no root pinned": {change: trustFirst, cold: cost{5, 10}, warm: cost{2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), test.options)
			synctest.Test(t, func(t *testing.T) {
				slow := slowStore(repo)
				u := newUpdater(t, repo, repo.Provider(t, test.offline...), func(c *tufupdate.Config) {
					c.Store = slow
					if test.change != nil {
						test.change(c)
					}
				})
				assert.Equal(t, test.cold, costOf(t, u, repo, slow, test.roles...), "cold: %v", slow.Calls())
				assert.Equal(t, test.warm, costOf(t, u, repo, slow, test.roles...), "warm: %v", slow.Calls())
				require.NoError(t, newClient(t, repo).Refresh())
			})
		})
	}
}

// What a roll costs after another replica's, with a memory of its own, and with one that both
// share. Then it knows before its first request that what it has cached is old, and writes nothing
// in vain.
func TestRoundTripsOfARollAfterAnotherReplicas(t *testing.T) {
	for name, test := range map[string]struct {
		options        testrepo.Options
		others, roles  []string // what the other replica rolls, and then this one
		alone, sharing cost
	}{
		"all three roles": {alone: cost{7, 11}, sharing: cost{5, 8}},
		"snapshot and timestamp": {others: []string{"snapshot"}, roles: []string{"snapshot"},
			alone: cost{6, 9}, sharing: cost{5, 6}},
		"timestamp": {others: []string{"timestamp"}, roles: []string{"timestamp"},
			alone: cost{3, 5}, sharing: cost{2, 3}},
		"all after the timestamp": {others: []string{"timestamp"}, alone: cost{7, 11}, sharing: cost{4, 6}},
		"the timestamp after all": {roles: []string{"timestamp"}, alone: cost{4, 6}, sharing: cost{3, 4}},
		"a delegated role": {options: testrepo.Options{Delegation: nested}, others: []string{"inner"},
			roles: []string{"inner"}, alone: cost{7, 19}, sharing: cost{5, 12}},
		"succinct bins": {options: testrepo.Options{Succinct: 4}, alone: cost{7, 11}, sharing: cost{5, 8}},
		"all bins of a prefix": {options: testrepo.Options{Succinct: 4}, others: []string{"bin"}, roles: []string{"bin"},
			alone: cost{8, 73}, sharing: cost{6, 54}},
		"without consistent": {options: testrepo.Options{Inconsistent: true}, alone: cost{7, 11}, sharing: cost{6, 7}},
	} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, a shared memory %v", name, shared), func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), test.options)
				synctest.Test(t, func(t *testing.T) {
					slow, most := slowStore(repo), test.alone
					replica := func(store storage.Store, memory storage.Store) *tufupdate.Updater {
						return newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
							c.Store, c.Memory = store, memory
						})
					}
					this, other := replica(slow, nil), replica(repo.Store, nil)
					if shared {
						memory := storage.NewMemory(storage.MemoryOptions{})
						this, other, most = replica(slow, memory), replica(repo.Store, memory), test.sharing
					}
					roll(t, this, repo)
					roll(t, this, repo, test.roles...)
					time.Sleep(time.Second) // or the same bytes are signed again
					roll(t, other, repo, test.others...)
					time.Sleep(time.Second)
					before, begun := len(slow.Calls()), time.Now()
					roll(t, this, repo, test.roles...)
					assert.Len(t, slow.Calls()[before:], most.calls, "%v", slow.Calls()[before:])
					assert.LessOrEqual(t, time.Since(begun), time.Duration(most.depth)*roundTrip)
					require.NoError(t, newClient(t, repo).Refresh())
				})
			})
		}
	}
}

// Whichever call gets no answer, a roll goes on once its limit has passed, ten seconds.
func TestALostAnswerCostsARollTheLimitOfOneCall(t *testing.T) {
	for name, rolls := range map[string]int{"cold": 0, "warm": 1} {
		for lost := 1; ; lost++ {
			made := 0
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			synctest.Test(t, func(t *testing.T) {
				before := -1
				flaky := storagetest.NewFlaky(repo.Store, func(c storagetest.Call) storagetest.Fault {
					return storagetest.Fault{Hang: before >= 0 && c.N == before+lost}
				})
				u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky })
				for range rolls {
					roll(t, u, repo)
				}
				before = len(flaky.Calls())
				begun := time.Now()
				roll(t, u, repo)
				made = len(flaky.Calls()) - before
				assert.Less(t, time.Since(begun), 11*time.Second, "%s: call %d of %d: %v", name, lost, made, flaky.Calls())
				require.NoError(t, newClient(t, repo).Refresh())
			})
			if lost > made {
				break
			}
		}
	}
}

func TestHistoryCostsNothing(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	synctest.Test(t, func(t *testing.T) {
		slow := slowStore(repo)
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		for range 300 {
			roll(t, u, repo)
		}
		assert.Equal(t, cost{2, 4}, costOf(t, u, repo, slow))
		fresh := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		assert.Equal(t, cost{5, 9}, costOf(t, fresh, repo, slow))
		for _, c := range slow.Calls() {
			require.NotEqual(t, storagetest.List, c.Verb)
		}
	})
}

func TestManyRootsAreReadSideBySide(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	for range 12 {
		repo.Rotate(t, "root")
	}
	synctest.Test(t, func(t *testing.T) {
		slow := slowStore(repo)
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		assert.LessOrEqual(t, costOf(t, u, repo, slow).depth, 6)
	})
}
