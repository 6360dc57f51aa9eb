package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"github.com/tufonline/tufonline/tufupdate"
)

// awayWrites has writes fail.
func awayWrites(c storagetest.Call) (f storagetest.Fault) {
	if c.Write > 0 {
		f.Before = errAway
	}
	return f
}

// Rolls that failed say nothing any more once none has failed for a while, although none was needed
// since. Callers who have left say nothing at all.
func TestReadinessDoesNotRememberForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, u := live(t)
		g.fail(awayWrites)
		for range 3 {
			_, err := u.Roll(t.Context(), g.repo.App, []string{"timestamp"})
			require.Error(t, err)
			time.Sleep(every)
		}
		require.ErrorIs(t, u.Ready(), tufupdate.ErrUnhealthy)
		g.mend()
		time.Sleep(time.Hour)
		require.NoError(t, u.Ready())

		g.fail(func(storagetest.Call) storagetest.Fault {
			time.Sleep(time.Second)
			return storagetest.Fault{}
		})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := u.Roll(ctx, g.repo.App, []string{"timestamp"})
			require.Error(t, err)
			cancel()
			time.Sleep(every)
		}
		require.NoError(t, u.Ready())
	})
}

// What concerns one app of many, or some clients of an app, is no reason to send all requests
// elsewhere.
func TestReadinessIsAboutTheProcess(t *testing.T) {
	for name, wrong := range map[string]func(g *ground){
		"an upload waits": func(g *ground) {
			g.repo.Upload(g.t, "targets", 2, func(md *metadata.TargetsType) {
				md.Delegations.Roles[0].Name = "nobody"
			})
		},
		"a delegated role is rejected": func(g *ground) { g.repo.Overwrite(g.t, g.repo.File("team", 1), []byte("{}")) },
		"a clock is wrong":             func(g *ground) { g.skew.Store(int64(-time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, u := live(t, "targets", "team")
				wrong(g)
				time.Sleep(2 * day)
				require.NotEmpty(t, u.Failing())
				require.NoError(t, u.Ready())
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // one of several
		store, soon := storage.NewMemory(storage.MemoryOptions{}), expiring()
		var repos []*testrepo.Repo
		for i := range 5 {
			soon.App = fmt.Sprintf("acme/app%d", i)
			repos = append(repos, testrepo.New(t, store, soon))
		}
		u := newUpdater(t, repos[0], nil, renewing(tufupdate.Renew{Apps: appsOf(repos)}), func(c *tufupdate.Config) {
			c.Roots = pinned(repos...)
			c.Keys = keystest.NewFlaky(providers(t, repos), func(c keystest.Call) (f keystest.Fault) {
				if c.Request.App == repos[0].App && c.Verb == keystest.Sign {
					f.Err = errAway
				}
				return f
			})
		})
		defer run(t, u)()
		time.Sleep(day)
		require.Len(t, u.Failing(), 1)
		require.NoError(t, u.Ready())
	})
}

// Who can read nothing for a while keeps no app alive.
func TestAProcessThatCanReadNothingIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, u := live(t)
		g.fail(func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Before: errAway} })
		time.Sleep(2 * look)
		require.ErrorIs(t, u.Ready(), tufupdate.ErrUnhealthy)
		g.mend()
		time.Sleep(every + time.Minute)
		require.NoError(t, u.Ready())
	})
}

// A role that cannot be signed although its key is there is a trouble in the status, and an error
// in the log, long before it expires.
func TestAKeyThatMayNotSignIsNoticedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		log := &leveled{}
		var denied atomic.Bool
		u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}), func(c *tufupdate.Config) {
			c.Logger = slog.New(log)
			c.Keys = keystest.NewFlaky(c.Keys, func(c keystest.Call) (f keystest.Fault) {
				if denied.Load() && c.Request.Role == "timestamp" && c.Verb == keystest.Sign {
					f.Err = errors.New("may not sign")
				}
				return f
			})
		})
		defer run(t, u)()
		time.Sleep(time.Hour)
		denied.Store(true)
		time.Sleep(17 * time.Hour) // it expires in six
		assert.Positive(t, log.errors())
		assert.Less(t, log.errors(), 4)
		status, err := u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		require.NotEmpty(t, status.Troubles)
		assert.Equal(t, tufupdate.CodeOverdue, status.Troubles[0].Code)
	})
}

// leveled counts errors.
type leveled struct{ records }

func (l *leveled) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *leveled) Handle(ctx context.Context, record slog.Record) error {
	record.Message = record.Level.String() + " " + record.Message
	return l.records.Handle(ctx, record)
}

func (l *leveled) errors() int { return l.count("ERROR ") }

// The timestamp does not wait for a delegated role whose key hangs or is denied.
func TestADelegatedRoleDoesNotHoldUpTheTimestamp(t *testing.T) {
	for name, fault := range map[string]keystest.Fault{"hangs": {Hang: true}, "is denied": {Err: errAway}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
				u := newUpdater(t, repo, repo.Provider(t), renewing(tufupdate.Renew{}), failing("team", keystest.Sign, fault),
					settings(tufupdate.Settings{Validity: map[string]time.Duration{"timestamp": 2 * time.Hour}}))
				defer run(t, u)()
				time.Sleep(time.Hour) // it expired when the first roll hung
				for range 12 * 24 {
					time.Sleep(5 * time.Minute)
					md, err := metadata.Timestamp().FromBytes(repo.Read(t, repo.File("timestamp", 0)))
					require.NoError(t, err)
					require.True(t, md.Signed.Expires.After(time.Now()), time.Now())
				}
			})
		})
	}
}

// A file that was damaged is noticed within a day or so, although it is cached, and so are settings
// that have changed.
func TestLooksSeeWhatIsCachedToo(t *testing.T) {
	for _, role := range []string{"targets", "team"} {
		t.Run(role, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, u := live(t, "targets", "team")
				good := g.repo.Read(t, g.repo.File(role, 1))
				g.repo.Overwrite(t, g.repo.File(role, 1), []byte("{}"))
				time.Sleep(26 * time.Hour)
				health, _ := u.Health(g.repo.App)
				require.NotEmpty(t, health.Troubles)
				assert.Equal(t, role, health.Troubles[0].Role)
				time.Sleep(time.Hour)
				health, _ = u.Health(g.repo.App)
				require.NotEmpty(t, health.Troubles, "it does not come and go")
				g.repo.Overwrite(t, g.repo.File(role, 1), good)
				time.Sleep(every + time.Minute)
				health, _ = u.Health(g.repo.App)
				require.Empty(t, health.Troubles)
			})
		})
	}
}

// What a part of the operator's says shows in the log, and not in what clients are told.
func TestClientsAreToldNoPaths(t *testing.T) {
	const secret = "/srv/secrets"
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		provider := repo.Provider(t)
		provider.Asked = func(r keys.Request) error {
			if r.Role == "team" {
				return errors.New(secret + ": permission denied")
			}
			return nil
		}
		u := newUpdater(t, repo, provider, renewing(tufupdate.Renew{}), func(c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{ValidityOf: func(_ context.Context, role string) (time.Duration, error) {
					if role == "snapshot" {
						return 0, errors.New(secret + ": no such table")
					}
					return 0, nil
				}}, nil
			}
		})
		defer run(t, u)()
		time.Sleep(time.Hour)
		status, err := u.Status(t.Context(), repo.App)
		require.NoError(t, err)
		health, _ := u.Health(repo.App)
		require.NotEmpty(t, status.Troubles)
		for _, trouble := range append(status.Troubles, health.Troubles...) {
			assert.NotContains(t, trouble.Text, secret)
		}
		for _, warning := range status.Warnings {
			assert.NotContains(t, warning, secret)
		}
	})
}

// Apps are not forgotten while their list fails and another process looks for a moment. A log
// handler may ask for the health.
func TestALeaderThatComesAndGoesForgetsNoApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), expiring())
		store := &electing{Store: newTasks()}
		store.leads.Store(true)
		var away atomic.Bool
		var u *tufupdate.Updater
		curious := &asking{}
		u = newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
			c.Tasks, c.Logger = store, slog.New(curious)
			c.Renew = &tufupdate.Renew{Apps: func(context.Context) ([]string, error) {
				if away.Load() {
					return nil, errAway
				}
				return []string{repo.App}, nil
			}}
		})
		curious.ask = func() {
			u.Failing()
			_ = u.Ready()
		}
		defer run(t, u)()
		time.Sleep(time.Hour)
		away.Store(true)
		store.leads.Store(false)
		time.Sleep(10 * time.Minute)
		assert.True(t, u.Renewal().Elsewhere)
		_, looks := u.Health(repo.App)
		assert.False(t, looks)
		store.leads.Store(true)
		for range 3 {
			time.Sleep(day)
			require.NoError(t, newClient(t, repo).Refresh())
		}
	})
}
