package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

const day = 24 * time.Hour

func renewing(r tufupdate.Renew) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) { c.Renew = &r }
}

// expiring are the options of a repository of which everything but root expires in a quarter of an
// hour.
func expiring() testrepo.Options {
	soon := time.Now().Add(15 * time.Minute)
	return testrepo.Options{
		Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}},
		Expires: map[string]time.Time{
			"root": time.Now().AddDate(1, 0, 0), "targets": soon, "team": soon, "snapshot": soon, "timestamp": soon,
		},
	}
}

// noneExpired requires that nobody who verifies the repository finds anything that has expired.
func noneExpired(t *testing.T, repo *testrepo.Repo) tufupdate.Status {
	t.Helper()
	status, err := newUpdater(t, repo, repo.Provider(t)).Status(t.Context(), repo.App)
	require.NoError(t, err)
	for _, role := range status.Roles {
		require.True(t, role.Verified, "%s: %s", role.Role, role.Problem)
		require.Positive(t, *role.ExpiresIn, role.Role)
	}
	return status
}

func TestNothingExpiresBecauseNobodyAsked(t *testing.T) {
	for name, change := range map[string]func(*testrepo.Options){
		"delegated roles":               func(*testrepo.Options) {},
		"without consistent snapshots":  func(o *testrepo.Options) { o.Inconsistent = true },
		"succinct bins":                 func(o *testrepo.Options) { o.Succinct = 2 },
		"validity from the repository":  func(o *testrepo.Options) { o.ExpiryPeriod = 3 },
		"everything has expired before": func(o *testrepo.Options) { o.Expires["timestamp"] = time.Now().Add(-time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := expiring()
				change(&o)
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), o)
				defer run(t, newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{})))()
				client := newClient(t, repo)
				const days = 20
				for range days {
					time.Sleep(day - 7*time.Minute)
					noneExpired(t, repo)
					require.NoError(t, client.Refresh())
				}
				now := versions(t, client)
				assert.Less(t, now["timestamp"], int64(3*days), "and nothing is renewed much too early")
				assert.Less(t, now["targets"], int64(days))
			})
		})
	}
}

// At any time at most what is asked for is signed: a role is renewed when half of its time, and a
// part of a tenth, is left.
func TestRolesAreRenewedEarlyEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{Early: 0.75, Jitter: -1}))
		roll(t, u, repo)
		before := noneExpired(t, repo)
		defer run(t, u)()
		time.Sleep(day/4 - 10*time.Minute)
		assert.Equal(t, before.Roles[1].Version, noneExpired(t, repo).Roles[1].Version)
		time.Sleep(20 * time.Minute)
		after := noneExpired(t, repo)
		assert.Equal(t, before.Roles[1].Version+1, after.Roles[1].Version, "the timestamp")
		assert.Equal(t, before.Roles[2:], func() []tufupdate.RoleStatus {
			for i := range after.Roles {
				after.Roles[i].ExpiresIn = before.Roles[i].ExpiresIn
			}
			return after.Roles[2:]
		}(), "nothing else")
	})
}

// Replicas on one task store, which look at the same time, add one task for what is published.
func TestReplicasRenewAnAppOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps, replicas = 20, 3
		store, shared := storage.NewMemory(storage.MemoryOptions{}), tasks.NewMemory(tasks.MemoryOptions{})
		var repos []*testrepo.Repo
		for i := range apps {
			o := expiring()
			o.App = fmt.Sprintf("acme/app%d", i)
			repos = append(repos, testrepo.New(t, store, o))
		}
		flaky := storagetest.NewFlaky(store, func(storagetest.Call) storagetest.Fault {
			time.Sleep(time.Millisecond) // they overlap
			return storagetest.Fault{}
		})
		provider := providers(t, repos)
		var updaters []*tufupdate.Updater
		for range replicas {
			u := newUpdater(t, repos[0], nil, renewing(tufupdate.Renew{Apps: appsOf(repos)}), func(c *tufupdate.Config) {
				c.Store, c.Keys, c.Roots, c.Tasks = flaky, provider, pinned(repos...), shared
			})
			updaters = append(updaters, u)
			defer run(t, u)()
		}
		time.Sleep(time.Minute)
		added := 0
		for _, u := range updaters {
			last, err := u.Renewal()
			require.NoError(t, err)
			assert.Zero(t, last.Failed)
			assert.Equal(t, apps, last.Apps)
			added += last.Added
		}
		assert.Equal(t, apps, added)
		for _, repo := range repos {
			noneExpired(t, repo)
			assert.EqualValues(t, 2, versions(t, newClient(t, repo))["timestamp"], repo.App)
		}
	})
}

func appsOf(repos []*testrepo.Repo) func(context.Context) ([]string, error) {
	var apps []string
	for _, repo := range repos {
		apps = append(apps, repo.App)
	}
	return func(context.Context) ([]string, error) { return apps, nil }
}

// providers asks the provider of the app.
func providers(t *testing.T, repos []*testrepo.Repo) keys.Provider {
	all := perApp{}
	for _, repo := range repos {
		all[repo.App] = repo.Provider(t)
	}
	return all
}

type perApp map[string]keys.Provider

func (p perApp) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	return p[req.App].Signer(ctx, req)
}

// An app that fails is looked at again, more and more seldom, and holds up no other.
func TestAnAppThatFailsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		o := expiring()
		good := testrepo.New(t, store, o)
		o.App = "acme/tampered"
		tampered := testrepo.New(t, store, o)
		tampered.Overwrite(t, tampered.File("timestamp", 0), []byte("{}"))
		o.App = "acme/hanging"
		hanging := testrepo.New(t, store, o)
		flaky := storagetest.NewFlaky(store, func(c storagetest.Call) storagetest.Fault {
			return storagetest.Fault{Hang: strings.HasPrefix(c.Key, hanging.App)}
		})
		o.App = "acme/undecided"
		undecided := testrepo.New(t, store, o)
		repos := []*testrepo.Repo{hanging, tampered, undecided, good}
		var log records
		u := newUpdater(t, good, nil, renewing(tufupdate.Renew{Apps: appsOf(repos), Every: time.Minute}),
			func(c *tufupdate.Config) {
				c.Store, c.Keys, c.Logger, c.RollTimeout = flaky, providers(t, repos), slog.New(&log), 10*time.Second
				c.Settings = func(ctx context.Context, app string) (tufupdate.Settings, error) {
					if app == undecided.App {
						<-ctx.Done()
					}
					return tufupdate.Settings{}, ctx.Err()
				}
			})
		defer run(t, u)()
		time.Sleep(day)
		noneExpired(t, good)
		last, err := u.Renewal()
		require.NoError(t, err)
		assert.Equal(t, 3, last.Failed)
		failed := log.count("renewal failed")
		assert.Less(t, failed, 3*(10+24), "not in every one of 1,440 rounds")
		assert.Greater(t, failed, 3*20, "but again and again")
	})
}

// records counts log messages.
type records struct {
	slog.Handler
	mu    sync.Mutex
	texts []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, record.Message)
	return nil
}

func (r *records) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.texts {
		if strings.Contains(t, text) {
			n++
		}
	}
	return n
}

// A task that has failed is not the last word.
func TestAFailedRenewalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		var broken atomic.Bool
		broken.Store(true)
		flaky := storagetest.NewFlaky(repo.Store, func(c storagetest.Call) (f storagetest.Fault) {
			if broken.Load() && c.Write > 0 {
				f.Before = errors.New("no space left")
			}
			return f
		})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}), func(c *tufupdate.Config) { c.Store = flaky })
		defer run(t, u)()
		time.Sleep(3 * time.Hour)
		last, err := u.Renewal()
		require.NoError(t, err, "it has come round")
		assert.Equal(t, 1, last.Failed)
		broken.Store(false)
		time.Sleep(2 * time.Hour)
		noneExpired(t, repo)
	})
}

// Whatever is wrong with one role, the others are renewed.
func TestARoleThatCannotBeRenewedHoldsUpNoOther(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, repo *testrepo.Repo)
		change  func(c *tufupdate.Config)
	}{
		"its validity is not known": {change: func(c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{ValidityOf: func(_ context.Context, role string) (time.Duration, error) {
					if role == "team" {
						return 0, errors.New("nonsense")
					}
					return 0, nil
				}}, nil
			}
		}},
		"its key is denied": {change: failing("team", keystest.Signer,
			keystest.Fault{Err: errors.New("access denied")})},
		"its key is asked for in vain": {change: failing("team", keystest.Signer, keystest.Fault{Hang: true})},
		"its public key cannot be read": {change: failing("team", keystest.Public,
			keystest.Fault{Err: errors.New("access denied")})},
		"its public key is asked for in vain": {change: failing("team", keystest.Public, keystest.Fault{Hang: true})},
		"it cannot be written": {change: func(c *tufupdate.Config) {
			c.Store = storagetest.NewFlaky(c.Store, func(c storagetest.Call) (f storagetest.Fault) {
				if c.Write > 0 && strings.Contains(c.Key, "team") {
					f.Before = errors.New("forbidden")
				}
				return f
			})
		}},
		"its file has gone": {prepare: func(t *testing.T, repo *testrepo.Repo) {
			require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), repo.File("team", 1)))
		}},
		"its holders declare an online key for a role below": {prepare: func(t *testing.T, repo *testrepo.Repo) {
			online := repo.Keys["targets"][0]
			repo.Upload(t, "team", 2, func(md *metadata.TargetsType) {
				repo.Declare(t, md, testrepo.Delegation{Name: "child", Paths: []string{"*"}})
				md.Expires = time.Now().Add(time.Hour)
				md.Delegations.Keys = map[string]*metadata.Key{online.ID: online.Public}
				md.Delegations.Roles[0].KeyIDs = []string{online.ID}
			})
			child := metadata.Targets(time.Now().Add(time.Hour))
			_, err := repo.Store.Create(t.Context(), repo.File("child", 1), testrepo.SignWith(t, child, false, online))
			require.NoError(t, err)
			roll(t, newUpdater(t, repo, repo.Provider(t, "team")), repo, "snapshot")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
				offline := []string{}
				if test.prepare != nil {
					test.prepare(t, repo)
					offline = append(offline, "team")
				}
				if test.change == nil {
					test.change = func(*tufupdate.Config) {}
				}
				u := newUpdater(t, repo, repo.Provider(t, offline...), renewing(tufupdate.Renew{}), test.change)
				defer run(t, u)()
				for range 4 {
					time.Sleep(day)
					status, err := newUpdater(t, repo, repo.Provider(t)).Status(t.Context(), repo.App)
					require.NoError(t, err)
					for _, role := range status.Roles[:4] {
						require.Positive(t, *role.ExpiresIn, role.Role)
					}
				}
			})
		})
	}
}

// failing has the key provider fail in one way where a role is concerned, or the bins of a prefix.
func failing(role string, verb keystest.Verb, fault keystest.Fault) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) {
		c.Keys = keystest.NewFlaky(c.Keys, func(c keystest.Call) keystest.Fault {
			if strings.HasPrefix(c.Request.Role, role) && c.Verb == verb {
				return fault
			}
			return keystest.Fault{}
		})
	}
}

// What went wrong for a minute does not count for ever.
func TestABriefFailureIsNotRemembered(t *testing.T) {
	for name, change := range map[string]func(c *tufupdate.Config, brief func() bool){
		"a key is not there yet": func(c *tufupdate.Config, brief func() bool) {
			c.Keys = late{c.Keys, func(req keys.Request) bool { return brief() && req.Role == metadata.TIMESTAMP }}
		},
		"a key is denied": func(c *tufupdate.Config, brief func() bool) {
			c.Keys = keystest.NewFlaky(c.Keys, func(c keystest.Call) (f keystest.Fault) {
				if brief() && c.Request.Role == metadata.TIMESTAMP {
					f.Err = errors.New("access denied")
				}
				return f
			})
		},
		"a validity cannot be read": func(c *tufupdate.Config, brief func() bool) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{ValidityOf: func(_ context.Context, role string) (time.Duration, error) {
					if brief() && role == metadata.TIMESTAMP {
						return 0, errors.New("no answer")
					}
					return 0, nil
				}}, nil
			}
		},
		"the list of apps hangs": func(c *tufupdate.Config, brief func() bool) {
			apps := c.Renew.Apps
			c.Renew.Apps = func(ctx context.Context) ([]string, error) {
				if brief() {
					<-ctx.Done()
				}
				return apps(ctx)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Expires: map[string]time.Time{
					"root": time.Now().AddDate(1, 0, 0), "timestamp": time.Now().Add(20 * time.Hour), "targets": time.Now().AddDate(0,
						0, 80),
				}})
				begun := time.Now()
				u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{Apps: appsOf([]*testrepo.Repo{repo})}),
					func(c *tufupdate.Config) {
						change(c, func() bool { return time.Since(begun) < time.Minute })
					})
				defer run(t, u)()
				for range 4 {
					time.Sleep(18 * time.Hour)
					noneExpired(t, repo)
				}
			})
		})
	}
}

// late is a provider that does not have some keys.
type late struct {
	keys.Provider
	missing func(keys.Request) bool
}

func (l late) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	if l.missing(req) {
		return nil, keys.ErrNoKey
	}
	return l.Provider.Signer(ctx, req)
}

// rootToo is a provider that has the keys of root as well, which nobody should.
type rootToo struct{ repo *testrepo.Repo }

func (p rootToo) Signer(_ context.Context, req keys.Request) (keys.Signer, error) {
	for _, all := range p.repo.Keys {
		for _, k := range all {
			if k.ID == req.KeyID {
				return keys.NewSigner(k.Private, k.Public.Scheme)
			}
		}
	}
	return nil, keys.ErrNoKey
}

func TestRootIsNotRenewedWhateverKeysThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := expiring()
		o.Expires["root"] = time.Now().AddDate(0, 0, 20)
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), o)
		u := newUpdater(t, repo, nil, renewing(tufupdate.Renew{}), func(c *tufupdate.Config) { c.Keys = rootToo{repo} })
		defer run(t, u)()
		time.Sleep(5 * day)
		noneExpired(t, repo)
		status, err := u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		assert.NotEmpty(t, status.Warnings, "root expires")
	})
}

// A store that is put back to an earlier state is renewed from there by a new process, though the
// tasks that once did so are known to have succeeded.
func TestAStoreThatWasPutBackIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		backup := files(t, repo)
		shared := tasks.NewMemory(tasks.MemoryOptions{})
		start := func() (stop func()) {
			return run(t, newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}),
				func(c *tufupdate.Config) { c.Tasks = shared }))
		}
		stop := start()
		time.Sleep(5 * time.Minute)
		stop()
		for name := range files(t, repo) {
			require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), name))
		}
		for name, data := range backup {
			_, err := repo.Store.Create(t.Context(), name, []byte(data))
			require.NoError(t, err)
		}
		defer start()()
		time.Sleep(time.Hour)
		noneExpired(t, repo)
	})
}

// A low rate makes rounds long, and fails nothing. outdated is a task store that knows of some
// tasks only that there were some with such IDs, as for a while after their retention.
type outdated struct {
	tasks.Store

	mu    sync.Mutex
	known map[string]bool
}

func (o *outdated) Add(ctx context.Context, t tasks.Task) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) < 5 {
		o.known[t.ID] = true
	}
	if o.known[t.ID] {
		return tasks.ErrExists
	}
	return o.Store.Add(ctx, t)
}

func (o *outdated) Get(ctx context.Context, id string) (tasks.Task, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[id] {
		return tasks.Task{}, tasks.ErrNotFound
	}
	return o.Store.Get(ctx, id)
}

func TestTasksThatEndedLongAgoAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}), func(c *tufupdate.Config) {
			c.Tasks = &outdated{Store: tasks.NewMemory(tasks.MemoryOptions{}), known: map[string]bool{}}
		})
		defer run(t, u)()
		time.Sleep(time.Hour)
		noneExpired(t, repo)
	})
}

func TestManyAppsAtALowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		var repos []*testrepo.Repo
		for i := range 64 {
			repos = append(repos, testrepo.New(t, store, testrepo.Options{App: fmt.Sprintf("acme/app%d", i)}))
		}
		u := newUpdater(t, repos[0], nil, renewing(tufupdate.Renew{Apps: appsOf(repos), Rate: 2}), func(c *tufupdate.Config) {
			c.Keys, c.Roots, c.RollTimeout = providers(t, repos), pinned(repos...), 2*time.Minute
		})
		defer run(t, u)()
		time.Sleep(time.Hour)
		last, err := u.Renewal()
		require.NoError(t, err)
		assert.Zero(t, last.Failed)
		assert.Equal(t, 64, last.Apps)
	})
}

// What is published counts, not what is remembered: others roll, rotate keys, and may take things
// back.
func TestARoundLooksAtWhatIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		other := newUpdater(t, repo, repo.Provider(t))
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}))
		defer run(t, u)()
		var before tasks.Result
		for range 10 { // always before it is due
			before = roll(t, other, repo)
			time.Sleep(day / 4)
		}
		now := versions(t, newClient(t, repo))
		assert.Equal(t, before.Versions["timestamp"], now["timestamp"], "there was never anything to do")

		repo.Rotate(t, metadata.TIMESTAMP)
		require.Error(t, newClient(t, repo).Refresh())
		time.Sleep(10 * time.Minute)
		require.NoError(t, newClient(t, repo).Refresh(), "signed by the new key, long before it expires")

		old := repo.Read(t, repo.File("timestamp", 0))
		roll(t, u, repo)
		repo.Overwrite(t, repo.File("timestamp", 0), old)
		time.Sleep(10 * time.Minute)
		last, err := u.Renewal()
		require.NoError(t, err)
		assert.Equal(t, 1, last.Failed, "it was taken back")
	})
}

func TestAnUnchangedAppCostsTwoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{HashBins: 16})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{Apps: appsOf([]*testrepo.Repo{repo})}))
		defer run(t, u)()
		time.Sleep(time.Hour) // what was due has been renewed
		last, err := u.Renewal()
		require.NoError(t, err)
		assert.EqualValues(t, 2, last.Requests)

		before := last.Ended
		_, err = u.Roll(t.Context(), repo.App, []string{"timestamp"})
		require.NoError(t, err)
		time.Sleep(6 * time.Minute)
		last, err = u.Renewal()
		require.NoError(t, err)
		require.True(t, last.Ended.After(before))
		assert.LessOrEqual(t, last.Requests, int64(6), "what cannot have changed is not read again")
	})
}

// The rate is that of the requests that are made, not of apps.
func TestRoundsKeepTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		later := time.Now().AddDate(0, 0, 80) // nothing is due
		var repos []*testrepo.Repo
		for i := range 30 {
			repos = append(repos, testrepo.New(t, store, testrepo.Options{
				App: fmt.Sprintf("acme/app%d", i), Expires: map[string]time.Time{"targets": later},
			}))
		}
		const perSecond = 10
		start := time.Now()
		var requests atomic.Int64
		flaky := storagetest.NewFlaky(store, func(storagetest.Call) storagetest.Fault {
			n := requests.Add(1)
			assert.LessOrEqual(t, float64(n), perSecond*(time.Since(start).Seconds()+1)+1)
			return storagetest.Fault{}
		})
		renew := tufupdate.Renew{Apps: appsOf(repos), Rate: perSecond}
		u := newUpdater(t, repos[0], nil, renewing(renew),
			func(c *tufupdate.Config) { c.Store, c.Keys, c.Roots = flaky, providers(t, repos), pinned(repos...) })
		defer run(t, u)()
		time.Sleep(4 * time.Minute)
		last, err := u.Renewal()
		require.NoError(t, err)
		assert.Equal(t, requests.Load(), last.Requests)
		assert.Greater(t, last.Requests, int64(60))
		assert.Zero(t, last.Failed)
	})
}

func TestARenewalThatDoesNotComeRoundIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		apps func(ctx context.Context) ([]string, error)
		says string
	}{
		"apps hang": {func(ctx context.Context) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, ""},
		"apps fail": {func(context.Context) ([]string, error) { return nil, errors.New("no such bucket") },
			"no such bucket"},
		"apps panic": {func(context.Context) ([]string, error) { panic("oh no") }, "oh no"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
				u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{Apps: test.apps}))
				_, err := u.Renewal()
				require.NoError(t, err, "it has not begun")
				stop := run(t, u)
				time.Sleep(14 * time.Minute)
				_, err = u.Renewal()
				require.NoError(t, err)
				time.Sleep(2 * time.Minute)
				_, err = u.Renewal()
				require.ErrorIs(t, err, tufupdate.ErrRenewalLate)
				assert.ErrorContains(t, err, test.says)
				stop()
			})
		})
	}
}

// Who has to sign by hand is told long before.
func TestWhatExpiresOfflineIsWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
			testrepo.Options{Succinct: 1, Expires: map[string]time.Time{
				"root": time.Now().AddDate(0, 0, 40), "targets": time.Now().AddDate(0, 0, 35),
				"bin-0": time.Now().AddDate(0, 0, 38), "bin-1": time.Now().AddDate(0, 0, 38),
			}})
		var log records
		u := newUpdater(t, repo, repo.Provider(t, "targets", "bin", "bin-0", "bin-1"), renewing(tufupdate.Renew{}),
			func(c *tufupdate.Config) { c.Logger = slog.New(&log) })
		defer run(t, u)()
		time.Sleep(4 * day)
		status, err := u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		assert.Empty(t, status.Warnings)
		assert.Zero(t, log.count("offline"))
		time.Sleep(7 * day)
		status, err = u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		require.Len(t, status.Warnings, 3, "root, targets, and one for all bins: %v", status.Warnings)
		for i, role := range []string{"root", "targets", "bin-0"} {
			assert.Contains(t, status.Warnings[i], "role "+role)
			assert.Contains(t, status.Warnings[i], "expires at")
		}
		assert.Positive(t, log.count("role root: version 1 expires at"))
		assert.Positive(t, log.count("role targets: version 1 expires at"))
	})
}

func TestTheStoreTellsWhichAppsThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		o := expiring()
		first := testrepo.New(t, store, o)
		o.App = "globex/deep/app"
		second := testrepo.New(t, store, o)
		provider := providers(t, []*testrepo.Repo{first, second})
		u := newUpdater(t, first, nil, renewing(tufupdate.Renew{}), pinning(first, second),
			func(c *tufupdate.Config) { c.Keys = provider })
		defer run(t, u)()
		time.Sleep(day)
		noneExpired(t, first)
		noneExpired(t, second)
	})
}

func TestRenewalThatMakesNoSenseIsRefused(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	for name, renew := range map[string]tufupdate.Renew{
		"never":                 {Early: -0.5},
		"always":                {Early: 1},
		"always, with jitter":   {Early: 0.9, Jitter: 0.2},
		"rounds back in time":   {Every: -time.Second},
		"less than no requests": {Rate: -1},
	} {
		_, err := tufupdate.New(tufupdate.Config{Store: repo.Store, Keys: repo.Provider(t), Roots: pinned(repo),
			Renew: &renew})
		assert.Error(t, err, name)
	}
	_, err := tufupdate.New(tufupdate.Config{Store: onlyStore{repo.Store}, Keys: repo.Provider(t),
		Roots: pinned(repo), Renew: &tufupdate.Renew{}})
	assert.ErrorContains(t, err, "Apps")
}

type onlyStore struct{ storage.Store }

// What could succeed later is told from what could not.
func TestWhatMayBeTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		change    func(t *testing.T, repo *testrepo.Repo, c *tufupdate.Config)
		temporary bool
	}{
		"the store is down": {func(_ *testing.T, repo *testrepo.Repo, c *tufupdate.Config) {
			c.Store = storagetest.NewFlaky(repo.Store, func(c storagetest.Call) (f storagetest.Fault) {
				if c.Write > 0 {
					f.Before = errors.New("down")
				}
				return f
			})
		}, true},
		"the settings cannot be read": {func(_ *testing.T, _ *testrepo.Repo, c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{}, errors.New("down")
			}
		}, true},
		"the key is missing": {func(t *testing.T, repo *testrepo.Repo, c *tufupdate.Config) {
			c.Keys = repo.Provider(t, "timestamp")
		}, false},
		"the metadata was tampered with": {func(t *testing.T, repo *testrepo.Repo, _ *tufupdate.Config) {
			repo.Overwrite(t, repo.File("timestamp", 0), []byte("{}"))
		}, false},
		"the app is not ready": {func(_ *testing.T, _ *testrepo.Repo, c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{NotReady: "bootstrap is under way"}, nil
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
				outcome := &outcomes{Store: tasks.NewMemory(tasks.MemoryOptions{})}
				u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
					test.change(t, repo, c)
					c.Tasks = outcome
				})
				defer run(t, u)()
				require.NoError(t, outcome.Add(t.Context(), tasks.Task{ID: "a", App: repo.App, Roles: []string{"timestamp"}}))
				_, err := u.Wait(t.Context(), "a")
				require.NoError(t, err)
				require.Error(t, outcome.err)
				assert.Equal(t, test.temporary, tasks.IsTemporary(outcome.err), "%v", outcome.err)
			})
		})
	}
}

// outcomes keeps the last error of work.
type outcomes struct {
	tasks.Store
	err error
}

func (o *outcomes) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	return o.Store.Run(ctx, func(ctx context.Context, task tasks.Task) (result tasks.Result, err error) {
		result, o.err = work(ctx, task)
		return result, o.err
	})
}
