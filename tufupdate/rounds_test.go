package tufupdate_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

// The file of a delegated role whose name ends in /timestamp is no app's timestamp.
func TestADelegatedRoleIsNoApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
			Delegation: []testrepo.Delegation{{Name: "hw/timestamp", Paths: []string{"*"}}},
		})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}))
		roll(t, u, repo, "hw/timestamp")
		defer run(t, u)()
		time.Sleep(time.Hour)
		assert.Equal(t, 1, u.Renewal().Apps)
		assert.Zero(t, u.Renewal().Failed)
	})
}

// A round that takes long at a low rate makes progress, and the process is ready.
func TestALongRoundIsNoReasonNotToBeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		far := time.Now().AddDate(1, 0, 0)
		var repos []*testrepo.Repo
		for i := range 100 {
			repos = append(repos, testrepo.New(t, store, testrepo.Options{App: fmt.Sprintf("acme/app%d", i),
				Expires: map[string]time.Time{"root": far, "targets": far, "snapshot": far, "timestamp": far}}))
		}
		u := newUpdater(t, repos[0], nil, renewing(tufupdate.Renew{Apps: appsOf(repos), Rate: 0.1}),
			func(c *tufupdate.Config) { c.Keys, c.Roots = providers(t, repos), pinned(repos...) })
		defer run(t, u)()
		for range 60 {
			time.Sleep(time.Minute)
			require.NoError(t, u.Ready())
		}
		assert.True(t, u.Renewal().Ended.IsZero(), "the first round goes on")
	})
}

// A process is not ready while all rolls fail because of the store, or while its only app needs a
// person.
func TestAProcessThatKeepsNoAppAliveIsNotReady(t *testing.T) {
	for name, wrong := range map[string]func(g *ground){
		"the store is read-only": func(g *ground) {
			g.fail(func(c storagetest.Call) (f storagetest.Fault) {
				if c.Write > 0 {
					f.Before = errors.New("read-only")
				}
				return f
			})
		},
		"the timestamp's key is missing": func(g *ground) { g.deny(func(keys.Request) error { return keys.ErrNoKey }) },
		"root has expired":               func(g *ground) { g.expireRoot(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, u := live(t)
				require.NoError(t, u.Ready())
				wrong(g)
				time.Sleep(14 * time.Hour)
				require.ErrorIs(t, u.Ready(), tufupdate.ErrUnhealthy)
				g.mend()
				g.expireRoot(365 * day)
				time.Sleep(every + time.Minute)
				require.NoError(t, u.Ready())
			})
		})
	}
}

// A roll of the snapshot leaves what it has not touched as it was: the looks after it do not read
// the bins again.
func TestLooksAfterARollOfTheSnapshotDoNotReadTheBinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 6})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{Apps: appsOf([]*testrepo.Repo{repo})}))
		defer run(t, u)()
		time.Sleep(time.Hour)
		for range 3 {
			roll(t, u, repo)
			time.Sleep(6 * time.Minute)
			last := u.Renewal()
			assert.Equal(t, 1, last.Looked)
			assert.LessOrEqual(t, last.Requests, int64(6))
		}
	})
}
