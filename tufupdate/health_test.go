package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A ground is an app whose parts a test breaks and mends while an updater renews it.
type ground struct {
	t    *testing.T
	repo *testrepo.Repo
	log  records

	denied atomic.Pointer[func(keys.Request) error]
	fault  atomic.Pointer[func(storagetest.Call) storagetest.Fault]
	skew   atomic.Int64 // of the store's clock
	calls  atomic.Int64 // of the task store
}

// counting is a task store whose calls are counted.
type counting struct {
	tasks.Store
	calls *atomic.Int64
}

func (c counting) Add(ctx context.Context, t tasks.Task) error {
	c.calls.Add(1)
	return c.Store.Add(ctx, t)
}

func (c counting) Get(ctx context.Context, id string) (tasks.Task, error) {
	c.calls.Add(1)
	return c.Store.Get(ctx, id)
}

// deny has the key provider answer with errors.
func (g *ground) deny(answer func(keys.Request) error) { g.denied.Store(&answer) }

// fail has the store fail.
func (g *ground) fail(fault func(storagetest.Call) storagetest.Fault) { g.fault.Store(&fault) }

// mend has the key provider and the store work again.
func (g *ground) mend() {
	g.deny(func(keys.Request) error { return nil })
	g.fail(func(storagetest.Call) storagetest.Fault { return storagetest.Fault{} })
	g.skew.Store(0)
}

// clocked is a store whose service has a clock.
type clocked struct {
	storage.Store
	skew *atomic.Int64
}

func (c clocked) Unwrap() storage.Store                { return c.Store }
func (c clocked) Skew() (ahead time.Duration, ok bool) { return time.Duration(c.skew.Load()), true }

const (
	every = 5 * time.Minute
	look  = time.Hour
)

// live has an updater renew an app, and returns once all is well.
func live(t *testing.T, offline ...string) (*ground, *tufupdate.Updater) {
	far, soon := time.Now().AddDate(1, 0, 0), time.Now().Add(time.Hour)
	g := &ground{t: t}
	g.repo = testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
		Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}},
		Expires: map[string]time.Time{
			"root": far, "targets": far, "team": far, "snapshot": soon, "timestamp": soon,
		},
	})
	g.mend()
	provider := g.repo.Provider(t, offline...)
	provider.Asked = func(r keys.Request) error { return (*g.denied.Load())(r) }
	u := newUpdater(t, g.repo, provider, renewing(tufupdate.Renew{Every: every, Look: look}), func(c *tufupdate.Config) {
		flaky := storagetest.NewFlaky(c.Store, func(c storagetest.Call) storagetest.Fault { return (*g.fault.Load())(c) })
		c.Store, c.Logger = clocked{flaky, &g.skew}, slog.New(&g.log)
		c.Tasks = counting{tasks.NewMemory(tasks.MemoryOptions{}), &g.calls}
	})
	t.Cleanup(run(t, u))
	time.Sleep(15 * time.Minute)
	health, ok := u.Health(g.repo.App)
	require.True(t, ok)
	require.Empty(t, health.Troubles)
	return g, u
}

// expireRoot publishes a root that expires after a time.
func (g *ground) expireRoot(after time.Duration) {
	version := int64(2)
	for ; ; version++ {
		if _, err := g.repo.Store.Get(g.t.Context(), g.repo.File("root", version)); errors.Is(err, storage.ErrNotFound) {
			break
		}
	}
	root, err := metadata.Root().FromBytes(g.repo.Root)
	require.NoError(g.t, err)
	root.Signed.Version, root.Signed.Expires = version, time.Now().Add(after).UTC().Truncate(time.Second)
	_, err = g.repo.Store.Create(g.t.Context(), g.repo.File("root", version),
		testrepo.SignWith(g.t, root, false, g.repo.Keys["root"]...))
	require.NoError(g.t, err)
}

// Whatever is wrong, the app fails within a look or, where time brings it up, within a round. The
// trouble says who has to act on what. It is logged once. A round after the cure all is well,
// without a restart.
func TestWhatIsWrongWithAnAppShowsUntilItIsMended(t *testing.T) {
	refuse := func(role string, err error) func(keys.Request) error {
		return func(r keys.Request) error {
			if r.Role == role {
				return err
			}
			return nil
		}
	}
	writesFail := func(c storagetest.Call) (f storagetest.Fault) {
		if c.Write > 0 {
			f.Before = errors.New("read-only")
		}
		return f
	}
	for name, test := range map[string]struct {
		offline string
		wrong   func(g *ground)
		after   time.Duration // how long it takes to come up, at most
		role    string
		code    string
		who     tufupdate.Actor
		says    func(g *ground) string
		cure    func(g *ground)
		outage  bool // it may be that many apps have it, so the rounds log it
	}{
		"a key is missing": {
			wrong: func(g *ground) { g.deny(refuse("timestamp", keys.ErrNoKey)) }, after: 12 * time.Hour,
			role: "timestamp", code: tufupdate.CodeNoKey, who: tufupdate.ActorOperator,
			says: func(g *ground) string { return g.repo.Keys["timestamp"][0].ID },
			cure: func(g *ground) { g.mend() },
		},
		"a key cannot be read": {
			wrong: func(g *ground) { g.deny(refuse("snapshot", errors.New("permission denied"))) }, after: 4 * 24 * time.Hour,
			role: "snapshot", code: tufupdate.CodeKeyUnusable, who: tufupdate.ActorOperator,
			says: func(g *ground) string { return g.repo.Keys["snapshot"][0].ID },
			cure: func(g *ground) { g.mend() },
		},
		"root is replaced before the key": {
			wrong: func(g *ground) {
				old := g.repo.Keys["timestamp"][0].ID
				g.repo.Rotate(g.t, "timestamp")
				g.deny(func(r keys.Request) error {
					if r.Role == "timestamp" && r.KeyID != old {
						return keys.ErrNoKey
					}
					return nil
				})
			}, after: look,
			role: "timestamp", code: tufupdate.CodeNoKey, who: tufupdate.ActorOperator,
			says: func(g *ground) string { return g.repo.Keys["timestamp"][0].ID },
			cure: func(g *ground) { g.mend() },
		},
		"root has expired": {
			wrong: func(g *ground) { g.expireRoot(2 * time.Hour) }, after: 12 * time.Hour,
			role: "root", code: tufupdate.CodeRootExpired, who: tufupdate.ActorHolders,
			says: func(*ground) string { return "sign another root" },
			cure: func(g *ground) { g.expireRoot(365 * 24 * time.Hour) },
		},
		"clients reject an offline role": {
			offline: "targets",
			wrong:   func(g *ground) { g.repo.Rotate(g.t, "targets") }, after: look,
			role: "targets", code: tufupdate.CodeVerification, who: tufupdate.ActorOperator,
			says: func(*ground) string { return "sign and upload a new version" },
			cure: func(g *ground) { g.repo.Upload(g.t, "targets", 2, nil) },
		},
		"a file is damaged": {
			wrong: func(g *ground) {
				good := g.repo.Read(g.t, g.repo.File("timestamp", 0))
				g.repo.Overwrite(g.t, "good", good)
				g.repo.Overwrite(g.t, g.repo.File("timestamp", 0), g.repo.Read(g.t, g.repo.File("root", 1)))
				g.fail(writesFail)
			}, after: look,
			role: "timestamp", code: tufupdate.CodeVerification, who: tufupdate.ActorUpdater,
			says: func(*ground) string { return "timestamp" },
			cure: func(g *ground) { g.mend() },
		},
		"an upload waits": {
			offline: "team",
			wrong: func(g *ground) {
				g.repo.Upload(g.t, "team", 2, func(md *metadata.TargetsType) {
					md.Delegations = &metadata.Delegations{
						Keys: map[string]*metadata.Key{g.repo.Keys["team"][0].ID: g.repo.Keys["team"][0].Public},
						Roles: []metadata.DelegatedRole{{
							Name: "child", KeyIDs: []string{g.repo.Keys["team"][0].ID}, Threshold: 1, Paths: []string{"team/*"},
						}},
					}
				})
			}, after: look,
			role: "team", code: tufupdate.CodeUpload, who: tufupdate.ActorHolders,
			says: func(*ground) string { return "child" },
			cure: func(g *ground) {
				g.repo.Upload(g.t, "team", 3, func(md *metadata.TargetsType) { md.Delegations = nil })
			},
		},
		"the store is read-only": {
			wrong: func(g *ground) { g.fail(writesFail) }, after: 14 * time.Hour,
			role: "", code: tufupdate.CodeUnavailable, who: tufupdate.ActorUpdater,
			says: func(*ground) string { return "read-only" },
			cure: func(g *ground) { g.mend() }, outage: true,
		},
		"the store is away for a day": {
			wrong: func(g *ground) {
				g.fail(func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Before: errors.New("away")} })
			}, after: 24 * time.Hour,
			role: "", code: tufupdate.CodeUnavailable, who: tufupdate.ActorUpdater,
			says: func(*ground) string { return "away" },
			cure: func(g *ground) { g.mend() }, outage: true,
		},
		"the clock is wrong": {
			wrong: func(g *ground) { g.skew.Store(int64(2 * 24 * time.Hour)) }, after: 12 * time.Hour,
			role: "", code: tufupdate.CodeClock, who: tufupdate.ActorOperator,
			says: func(*ground) string { return "clock" },
			cure: func(g *ground) { g.mend() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, u := live(t, test.offline)
				test.wrong(g)
				time.Sleep(test.after + 2*every)
				health, _ := u.Health(g.repo.App)
				i := slices.IndexFunc(health.Troubles, func(found tufupdate.Trouble) bool {
					return found.Role == test.role && found.Code == test.code && found.Who == test.who
				})
				require.GreaterOrEqual(t, i, 0, "%+v", health.Troubles)
				assert.Contains(t, health.Troubles[i].Text+health.Troubles[i].Why, test.says(g))
				assert.NotZero(t, health.Troubles[i].Since)
				assert.Positive(t, u.Renewal().Failed)
				begun := g.log.count("trouble")
				if !test.outage {
					assert.Positive(t, begun)
				}
				time.Sleep(2 * every)
				assert.LessOrEqual(t, g.log.count("trouble"), begun+2, "it is logged once, and once more if it lasts")

				test.cure(g)
				time.Sleep(every + time.Minute)
				health, _ = u.Health(g.repo.App)
				assert.Empty(t, health.Troubles)
				assert.Zero(t, u.Renewal().Failed)
				require.NoError(t, u.Ready())
				require.NoError(t, newClient(t, g.repo).Refresh())
				if !test.outage {
					assert.Positive(t, g.log.count("trouble is over"))
				}
				status, err := u.Status(t.Context(), g.repo.App)
				require.NoError(t, err)
				assert.Empty(t, status.Troubles)
			})
		})
	}
}

// A valid upload is published by the next look, and said wherever it matters.
func TestAnUploadIsPublishedByTheNextLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, u := live(t, "targets")
		g.repo.Upload(t, "targets", 2, nil)
		status, err := u.Status(t.Context(), g.repo.App)
		require.NoError(t, err)
		assert.Equal(t, []tufupdate.Upload{{Role: "targets", Version: 2}}, status.Uploads, "it waits for the next release")
		time.Sleep(look + every)
		assert.EqualValues(t, 2, versions(t, newClient(t, g.repo))["targets"])
		assert.Equal(t, 1, g.log.count("upload"))
		health, _ := u.Health(g.repo.App)
		assert.Empty(t, health.Uploads)
		assert.Empty(t, health.Troubles)
	})
}

// What a release lists for the first time is in the result of its task.
func TestAcceptedUploadsAreInTheResult(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t, "targets"))
	repo.Upload(t, "targets", 2, nil)
	assert.Equal(t, map[string]int64{"targets": 2}, roll(t, u, repo).Accepted)
	assert.Empty(t, roll(t, u, repo).Accepted)
}

// An app that nobody touches, and of which nothing is due, costs twelve requests a day at the
// defaults.
func TestAnAppThatNobodyTouchesCostsTwelveRequestsADay(t *testing.T) {
	for name, offline := range map[string][]string{"all online": nil, "targets offline": {"targets"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := time.Now().AddDate(3, 0, 0)
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Expires: map[string]time.Time{
					"root": far, "targets": far, "snapshot": far, "timestamp": far,
				}})
				var requests atomic.Int64
				u := newUpdater(t, repo, repo.Provider(t, offline...), renewing(tufupdate.Renew{}), func(c *tufupdate.Config) {
					c.Store = storagetest.NewFlaky(c.Store, func(storagetest.Call) storagetest.Fault {
						requests.Add(1)
						return storagetest.Fault{}
					})
					c.Renew.Apps = appsOf([]*testrepo.Repo{repo})
				})
				defer run(t, u)()
				time.Sleep(day)
				for range 10 {
					before := requests.Load()
					time.Sleep(day)
					assert.LessOrEqual(t, requests.Load()-before, int64(12))
					assert.GreaterOrEqual(t, requests.Load()-before, int64(4), "a new root is noticed within nine hours")
				}
			})
		})
	}
}

// One failing app costs the task store a few calls a round, however long it fails.
func TestAFailingAppCostsTheTaskStoreAFewCallsARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := live(t)
		g.fail(func(c storagetest.Call) (f storagetest.Fault) {
			if strings.Contains(c.Key, "snapshot") && c.Write > 0 {
				f.Before = storage.ErrTooLarge // which no later attempt would mend
			}
			return f
		})
		time.Sleep(day)
		for range 2 {
			before := g.calls.Load()
			time.Sleep(day)
			assert.LessOrEqual(t, g.calls.Load()-before, int64(4*24*12))
		}
	})
}

// Requests for apps that do not exist leave nothing behind.
func TestNamesOfAppsThatDoNotExistLeaveNothing(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t))
	ask := func(from, to int) {
		for i := from; i < to; i++ {
			_, err := u.ForceOnline(t.Context(), fmt.Sprintf("acme/%0200d", i), nil)
			require.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
			_, err = u.Status(t.Context(), fmt.Sprintf("acme/%0200d", i))
			require.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
		}
	}
	names := 10_000
	if withRace {
		names = 100 // the race detector takes memory too
	}
	ask(0, names/10)
	before := heap()
	ask(names/10, names+names/10)
	if !withRace {
		assert.Less(t, heap()-before, float64(names*50), "bytes")
	}
}
