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
			require.NoError(t, u.Ready())
			last := u.Renewal()
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

// An app that fails is looked at in every round, is logged once, and holds up no other.
func TestAnAppThatFailsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		o := expiring()
		good := testrepo.New(t, store, o)
		o.App = "acme/tampered"
		tampered := testrepo.New(t, store, o)
		tampered.Overwrite(t, tampered.File("snapshot", 1), []byte("{}"))
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
		last := u.Renewal()
		assert.Equal(t, 3, last.Failed)
		assert.Equal(t, 1, log.count("trouble"), "of the damaged file")
		assert.Equal(t, 2, log.count("cannot be judged"), "of the others, when it began and when it had lasted")
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

// Whatever is wrong with one role, the others are renewed.
func TestARoleThatCannotBeRenewedHoldsUpNoOther(t *testing.T) {
	denied := errors.New("access denied")
	for name, change := range map[string]func(c *tufupdate.Config){
		"its key is asked for in vain":        failing("team", keystest.Signer, keystest.Fault{Hang: true}),
		"its public key cannot be read":       failing("team", keystest.Public, keystest.Fault{Err: denied}),
		"its public key is asked for in vain": failing("team", keystest.Public, keystest.Fault{Hang: true}),
		"it cannot be written": func(c *tufupdate.Config) {
			c.Store = storagetest.NewFlaky(c.Store, func(c storagetest.Call) (f storagetest.Fault) {
				if c.Write > 0 && strings.Contains(c.Key, "team") {
					f.Before = errors.New("forbidden")
				}
				return f
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
				defer run(t, newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}), change))()
				days := 3
				if withRace {
					days = 1
				}
				for range days {
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

// A list of apps that hangs for a minute is asked for again.
func TestAListOfAppsThatHangsIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Expires: map[string]time.Time{
			"root": time.Now().AddDate(1, 0, 0), "timestamp": time.Now().Add(20 * time.Hour),
			"targets": time.Now().AddDate(0, 0, 80),
		}})
		begun, apps := time.Now(), appsOf([]*testrepo.Repo{repo})
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{
			Apps: func(ctx context.Context) ([]string, error) {
				if time.Since(begun) < time.Minute {
					<-ctx.Done()
				}
				return apps(ctx)
			},
		}))
		defer run(t, u)()
		for range 4 {
			time.Sleep(18 * time.Hour)
			noneExpired(t, repo)
		}
	})
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

// outdated is a task store that knows of some
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

// A low rate makes rounds long, and fails nothing.
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
		last := u.Renewal()
		assert.Zero(t, last.Failed)
		assert.Equal(t, 64, last.Apps)
	})
}

func TestAnUnchangedAppCostsTwoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{HashBins: 16})
		u := newUpdater(t, repo, repo.Provider(t),
			renewing(tufupdate.Renew{Apps: appsOf([]*testrepo.Repo{repo}), Look: time.Minute}))
		defer run(t, u)()
		time.Sleep(time.Hour) // what was due has been renewed
		last := u.Renewal()
		assert.EqualValues(t, 2, last.Requests)

		before := last.Ended
		_, err := u.Roll(t.Context(), repo.App, []string{"timestamp"})
		require.NoError(t, err)
		time.Sleep(6 * time.Minute)
		last = u.Renewal()
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
		last := u.Renewal()
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
				require.NoError(t, u.Ready(), "it has not begun")
				stop := run(t, u)
				time.Sleep(14 * time.Minute)
				require.NoError(t, u.Ready())
				time.Sleep(2 * time.Minute)
				err := u.Ready()
				require.ErrorIs(t, err, tufupdate.ErrRenewalLate)
				assert.ErrorContains(t, err, test.says)
				stop()
			})
		})
	}
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
		_, err := tufupdate.New(tufupdate.Config{Store: repo.Store, Keys: repo.Provider(t),
			Roots: tufupdate.PinnedRoot(repo.Root), Renew: &renew})
		assert.Error(t, err, name)
	}
	_, err := tufupdate.New(tufupdate.Config{Store: onlyStore{repo.Store}, Keys: repo.Provider(t),
		Roots: tufupdate.PinnedRoot(repo.Root),
		Renew: &tufupdate.Renew{}})
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
			repo.Overwrite(t, repo.File("snapshot", 1), []byte("{}"))
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
