package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// An outage is a part that is away for a while.
type outage struct {
	part       string
	begin, end time.Time
}

// The parts that an updater depends on.
func parts() []string {
	return []string{"reading", "writing", "the keys", "the tasks", "the settings", "the list of apps", "the roots"}
}

// outages are the outages of a year. They do not change.
type outages struct {
	all []outage
}

var errAway = errors.New("away")

// newOutages returns outages of an hour to three days, one in a week on average.
func newOutages(seed uint64, days int) *outages {
	r := rand.New(rand.NewPCG(seed, seed))
	o := &outages{}
	for at := time.Now().Add(6 * time.Hour); at.Before(time.Now().AddDate(0, 0, days)); {
		length := time.Hour + time.Duration(r.Int64N(int64(71*time.Hour)))
		o.all = append(o.all, outage{parts()[r.IntN(len(parts()))], at, at.Add(length)})
		at = at.Add(length/2 + time.Duration(r.Int64N(int64(10*24*time.Hour)))) // some overlap
	}
	return o
}

// of returns an error while a part is away.
func (o *outages) of(part string) error {
	now := time.Now()
	for _, one := range o.all {
		if one.part == part && !now.Before(one.begin) && now.Before(one.end) {
			return fmt.Errorf("%s: %w", part, errAway)
		}
	}
	return nil
}

// calm reports whether nothing was away for a time.
func (o *outages) calm(during time.Duration) bool {
	now := time.Now()
	for _, one := range o.all {
		if now.After(one.begin) && now.Before(one.end.Add(during)) {
			return false
		}
	}
	return true
}

type awayTasks struct {
	tasks.Store
	o *outages
}

func (a awayTasks) Add(ctx context.Context, t tasks.Task) error {
	if err := a.o.of("the tasks"); err != nil {
		return err
	}
	return a.Store.Add(ctx, t)
}

func (a awayTasks) Get(ctx context.Context, id string) (tasks.Task, error) {
	if err := a.o.of("the tasks"); err != nil {
		return tasks.Task{}, err
	}
	return a.Store.Get(ctx, id)
}

// A year of many apps, with outages of an hour to three days of every part: no role is expired for
// longer than the outage and one round.
func TestNoRoleIsExpiredForLongerThanAnOutageAndARound(t *testing.T) {
	apps, days := 8, 40
	if soak() {
		apps, days = 100, 365
	}
	if withRace {
		apps, days = 4, 8
	}
	synctest.Test(t, func(t *testing.T) {
		far := time.Now().AddDate(5, 0, 0)
		shapes := []testrepo.Options{
			{}, {Inconsistent: true}, {Delegation: nested}, {Succinct: 2}, {HashBins: 4},
			{Threshold: map[string]int{"timestamp": 2, "snapshot": 2}}, {Hashes: true}, {Delegation: nested, Inconsistent: true},
		}
		store := storage.NewMemory(storage.MemoryOptions{})
		var repos []*testrepo.Repo
		all, o := perApp{}, newOutages(1, days)
		for i := range apps {
			options := shapes[i%len(shapes)]
			options.App, options.Expires = fmt.Sprintf("acme/app%d", i), map[string]time.Time{"root": far}
			offline := []string{}
			if i%3 == 1 {
				options.Expires["targets"] = far
				offline = []string{"targets"}
			}
			repo := testrepo.New(t, store, options)
			provider := repo.Provider(t, offline...)
			provider.Asked = func(keys.Request) error { return o.of("the keys") }
			all[repo.App], repos = provider, append(repos, repo)
		}
		pins, known := pinned(repos...), appsOf(repos)
		u := newUpdater(t, repos[0], nil, func(c *tufupdate.Config) {
			c.Store = storagetest.NewFlaky(store, func(c storagetest.Call) storagetest.Fault {
				if c.Write > 0 {
					return storagetest.Fault{Before: o.of("writing")}
				}
				return storagetest.Fault{Before: o.of("reading")}
			})
			c.Keys, c.Tasks = all, awayTasks{tasks.NewMemory(tasks.MemoryOptions{}), o}
			c.Roots = func(ctx context.Context, app string) ([]byte, error) {
				if err := o.of("the roots"); err != nil {
					return nil, err
				}
				return pins(ctx, app)
			}
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{}, o.of("the settings")
			}
			c.Renew = &tufupdate.Renew{Apps: func(ctx context.Context) ([]string, error) {
				if err := o.of("the list of apps"); err != nil {
					return nil, err
				}
				return known(ctx)
			}}
		})
		defer run(t, u)()
		samples, expired := 0, 0
		for range days * 24 {
			time.Sleep(time.Hour)
			for _, repo := range repos {
				md, err := metadata.Timestamp().FromBytes(repo.Read(t, repo.File("timestamp", 0)))
				require.NoError(t, err)
				samples++
				if !md.Signed.Expires.After(time.Now()) {
					expired++
					require.False(t, o.calm(5*time.Minute+time.Minute), "%s: timestamp %d of %s expired at %s", time.Now(),
						md.Signed.Version, repo.App, md.Signed.Expires)
				}
			}
			if o.calm(time.Hour) {
				require.Empty(t, u.Failing(), time.Now())
				repo := repos[rand.N(len(repos))]
				require.NoError(t, newClient(t, repo).Refresh(), repo.App)
			}
		}
		t.Logf("%d apps, %d days, %d outages: %d of %d samples were expired, all during an outage", apps, days, len(o.all),
			expired, samples)
	})
}
