package tufupdate_test

import (
	"math/rand/v2"
	"sync"
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

// Replicas roll one app at the same time, again and again, each with a cache of its own. A call of
// the store takes 5 to 50 milliseconds. What the losers leave behind is hardly ever in the way: no
// more snapshots are left out than there are replicas, and twice as many targets.
func TestContentionAloneLeavesFewNumbersOut(t *testing.T) {
	const rolls = 10
	for replicas := 2; replicas <= 8; replicas *= 2 {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		synctest.Test(t, func(t *testing.T) {
			slow := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
				time.Sleep(5*time.Millisecond + rand.N(45*time.Millisecond))
				return storagetest.Fault{}
			})
			var mu sync.Mutex
			released := map[int64]bool{}
			highest := map[string]int64{}
			var group sync.WaitGroup
			for i := range replicas {
				u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow },
					settings(tufupdate.Settings{Validity: map[string]time.Duration{ // no two sign the same bytes
						"targets": time.Duration(i+1) * time.Hour, "snapshot": time.Duration(i+1) * time.Hour,
						"timestamp": time.Duration(i+1) * time.Hour,
					}}))
				group.Go(func() {
					for range rolls {
						result, err := u.Roll(t.Context(), repo.App, nil)
						if !assert.NoError(t, err) {
							return
						}
						mu.Lock()
						released[result.Versions["timestamp"]] = true
						for role, version := range result.Versions {
							highest[role] = max(highest[role], version)
						}
						mu.Unlock()
					}
				})
			}
			group.Wait()
			t.Logf("%d replicas: %d releases, highest %v", replicas, len(released), highest)
			releases := int64(1 + len(released)) // with the first
			assert.LessOrEqual(t, highest["snapshot"]-releases, int64(replicas))
			assert.LessOrEqual(t, highest["targets"]-releases, int64(2*replicas))
			assert.Equal(t, highest["timestamp"], releases)
			require.NoError(t, newClient(t, repo).Refresh())
		})
	}
}
