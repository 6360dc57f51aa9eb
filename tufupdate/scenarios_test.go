package tufupdate_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// A scenario is a repository in which something fails while its roles are rolled.
type scenario struct {
	inconsistent bool   // no consistent snapshots
	delegation   string // the kind of delegations, "" for none
	threshold    int    // of each role
	offline      bool   // targets, whose holders have uploaded a new document
	rotated      string // the top-level role whose keys were replaced just now, "" for none
}

func (s scenario) String() string {
	return fmt.Sprintf("inconsistent %v, %s bins or roles, threshold %d, targets offline %v, %s rotated",
		s.inconsistent, orNo(s.delegation), s.threshold, s.offline, orNo(s.rotated))
}

func orNo(s string) string {
	if s == "" {
		return "no"
	}
	return s
}

// allScenarios returns all combinations.
func allScenarios() (all []scenario) {
	for _, inconsistent := range []bool{false, true} {
		for _, delegation := range []string{"", "nested", "hash", "succinct"} {
			for _, threshold := range []int{1, 2} {
				for _, offline := range []bool{false, true} {
					for _, rotated := range []string{"", "timestamp", "snapshot", "targets"} {
						all = append(all, scenario{inconsistent, delegation, threshold, offline, rotated})
					}
				}
			}
		}
	}
	return all
}

// soak says whether tests that can go on for long should.
func soak() bool { return os.Getenv("TUF_TEST_SOAK") != "" }

// faulty calls try for each of some scenarios, in parallel, with all the faults that go with it:
// with what happens to each of as many calls as the scenario makes. Some scenarios are those that
// hold each pair of values, and each call meets one kind of fault, another one in each scenario; in
// a soak test all scenarios are tried, and those some with each fault of each call.
func faulty(t *testing.T, kinds int, count func(*testing.T, *stage) int,
	try func(t *testing.T, st *stage, kind, n int)) {
	var tried atomic.Int64
	some := pairwise(allScenarios())
	all := some
	if soak() {
		all = allScenarios()
	} else if withRace {
		all = some[:len(some)/4]
	}
	t.Run("scenarios", func(t *testing.T) {
		for i, s := range all {
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				base := s.set(t)
				var calls int
				synctest.Test(t, func(t *testing.T) { calls = count(t, base.copy(t)) })
				require.Positive(t, calls)
				for n := 1; n <= calls; n++ {
					for kind := range kinds {
						if kind == (n+i)%kinds || soak() && slices.Contains(some, s) {
							synctest.Test(t, func(t *testing.T) { try(t, base.copy(t), kind, n) })
							tried.Add(1)
						}
					}
				}
			})
		}
	})
	t.Logf("%d faults in %d scenarios", tried.Load(), len(all))
}

// pairwise returns a few of all scenarios, in which each pair of values that there is can be found.
func pairwise(all []scenario) []scenario {
	type pair [2]string
	pairs := func(s scenario) (pairs []pair) {
		values := []string{
			fmt.Sprintf("inconsistent %v", s.inconsistent), "delegation " +
				s.delegation, fmt.Sprintf("threshold %d", s.threshold),
			fmt.Sprintf("offline %v", s.offline), "rotated " + s.rotated,
		}
		for i := range values {
			for j := range i {
				pairs = append(pairs, pair{values[j], values[i]})
			}
		}
		return pairs
	}
	missing := map[pair]bool{}
	for _, s := range all {
		for _, p := range pairs(s) {
			missing[p] = true
		}
	}
	gain := func(s scenario) (n int) {
		for _, p := range pairs(s) {
			if missing[p] {
				n++
			}
		}
		return n
	}
	var some []scenario
	for len(missing) > 0 {
		best := slices.MaxFunc(all, func(a, b scenario) int { return gain(a) - gain(b) })
		for _, p := range pairs(best) {
			delete(missing, p)
		}
		some = append(some, best)
	}
	return some
}

func (s scenario) options() testrepo.Options {
	o := testrepo.Options{Inconsistent: s.inconsistent, Threshold: map[string]int{}}
	switch s.delegation {
	case "nested":
		o.Delegation = nested
	case "hash":
		o.HashBins = 16
	case "succinct":
		o.Succinct = 2
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "inner", "bins-3", "bin"} {
		o.Threshold[role] = s.threshold
	}
	return o
}

// roles are what is asked for.
func (s scenario) roles() []string {
	delegated := map[string]string{"nested": "inner", "hash": "bins-3", "succinct": "bin"}[s.delegation]
	switch {
	case delegated == "":
		return nil
	case s.offline:
		return []string{delegated}
	}
	return []string{"targets", delegated}
}

// A stage is a scenario's repository when all is set, and clients in each state that they can be
// in.
type stage struct {
	scenario
	repo    *testrepo.Repo
	clients map[string]*testrepo.Client
	whole   bool // clients can refresh; not so after a rotation, until a roll
}

// set builds the stage. It is the same for all that happens on copies of it.
func (s scenario) set(t *testing.T) *stage {
	st := &stage{scenario: s, repo: testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), s.options()),
		clients: map[string]*testrepo.Client{}}
	refreshed := func(when string) {
		client := newClient(t, st.repo)
		require.NoError(t, client.Refresh())
		st.clients[when] = client
	}
	refreshed("from the beginning")
	roll(t, newUpdater(t, st.repo, st.repo.Provider(t)), st.repo)
	refreshed("from the last release")
	if s.rotated != "" {
		st.repo.Rotate(t, s.rotated)
		st.repo.Pin = st.repo.Read(t, st.repo.File("root", 2))
	}
	if s.offline {
		st.repo.Upload(t, "targets", 3, nil)
	}
	st.whole = newClient(t, st.repo).Refresh() == nil
	return st
}

// provider returns the keys that are online.
func (s scenario) provider(t *testing.T, repo *testrepo.Repo) *testrepo.Provider {
	if s.offline {
		return repo.Provider(t, "targets")
	}
	return repo.Provider(t)
}

// copy returns the stage with a store and clients of its own.
func (st *stage) copy(t *testing.T) *stage {
	c := *st
	c.repo, c.clients = st.repo.Copy(t), map[string]*testrepo.Client{}
	for when, client := range st.clients {
		c.clients[when] = client.Copy(t, c.repo.Store)
	}
	return &c
}

// refresh requires that every client refreshes, those from before and a new one, and sees these
// versions.
func (st *stage) refresh(t *testing.T, versions map[string]int64, where string) {
	t.Helper()
	see := func(when string, client *testrepo.Client) {
		got, err := client.Versions()
		require.NoError(t, err, "%s: client %s", where, when)
		for role, version := range versions {
			assert.Equal(t, version, got[role], "%s: client %s: %s", where, when, role)
		}
	}
	for when, client := range st.clients {
		see(when, client)
	}
	see("that is new", newClient(t, st.repo))
}

// published requires that a roll has published all that was asked for, and that clients see it.
func (st *stage) published(t *testing.T, versions map[string]int64, where string) {
	t.Helper()
	assert.Subset(t, slices.Collect(maps.Keys(versions)), st.needed(), where)
	st.refresh(t, versions, where)
}

// needed are the roles that a roll has to publish.
func (s scenario) needed() []string {
	needed := []string{"timestamp", "snapshot"}
	if len(s.roles()) > 0 && s.delegation != "succinct" {
		needed = append(needed, s.roles()...)
	}
	return needed
}

func TestTheScenariosHoldEachPairOfValues(t *testing.T) {
	some := pairwise(allScenarios())
	assert.Less(t, len(some), 25)
	for _, rotated := range []string{"", "timestamp", "snapshot", "targets"} {
		for _, delegation := range []string{"", "nested", "hash", "succinct"} {
			assert.True(t, slices.ContainsFunc(some, func(s scenario) bool {
				return s.rotated == rotated &&
					s.delegation == delegation
			}))
		}
	}
}
