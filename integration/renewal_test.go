package integration_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// appKeys asks the provider of the app.
type appKeys map[string]keys.Provider

func (a appKeys) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	return a[req.App].Signer(ctx, req)
}

// Three replicas on one Postgres and one store, and 1,000 apps whose timestamps are about to
// expire: each is renewed, and once.
func TestThreeReplicasRenewAThousandAppsOnce(t *testing.T) {
	const apps, replicas, late = 1000, 3, 5 * time.Minute
	db := pgserver.Start(t)
	store := storage.NewMemory(storage.MemoryOptions{})
	soon := time.Now().Add(late)
	later := time.Now().AddDate(0, 0, 100)
	provider := appKeys{}
	var repos []*testrepo.Repo
	var names []string
	roots := map[string][]byte{}
	for i := range apps {
		repo := testrepo.New(t, store, testrepo.Options{App: fmt.Sprintf("acme/app%d", i), Expires: map[string]time.Time{
			"root": later, "targets": later, "snapshot": later, "timestamp": soon,
		}})
		repos, names = append(repos, repo), append(names, repo.App)
		provider[repo.App], roots[repo.App] = repo.Provider(t), repo.Root
	}
	var requests atomic.Int64
	counted := storagetest.NewFlaky(store, func(storagetest.Call) storagetest.Fault {
		requests.Add(1)
		return storagetest.Fault{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var updaters []*tufupdate.Updater
	for range replicas {
		u, err := tufupdate.New(tufupdate.Config{
			Store: counted, Keys: provider, Tasks: openTasks(t, db, rivertasks.Options{Workers: 20}),
			Roots: func(_ context.Context, app string) ([]byte, error) { return roots[app], nil },
			Renew: &tufupdate.Renew{Apps: func(context.Context) ([]string, error) { return names, nil },
				Every: 10 * time.Second},
			Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		updaters = append(updaters, u)
		running.Go(func() { assert.NoError(t, u.Run(ctx)) })
	}
	renewed := func() (n, rolls int) {
		for _, repo := range repos {
			version, err := versionOf(repo.Read(t, repo.File("timestamp", 0)))
			require.NoError(t, err)
			if version > 1 {
				n++
			}
			rolls += int(version - 1)
		}
		return n, rolls
	}
	begun := time.Now()
	require.Eventually(t, func() bool {
		n, _ := renewed()
		return n == apps
	}, late, 100*time.Millisecond)
	took := time.Since(begun)
	var all int64
	require.Eventually(t, func() bool {
		looking := 0
		for _, u := range updaters {
			last := u.Renewal()
			require.NoError(t, u.Ready())
			require.Zero(t, last.Failed)
			if !last.Elsewhere {
				looking++
			}
			if looking > 0 && last.Looked > 0 {
				return false
			}
		}
		all = requests.Load()
		return looking == 1
	}, time.Minute, 100*time.Millisecond, "one of them looks, and there comes a round in which it looks at no app")
	time.Sleep(12 * time.Second)
	assert.Equal(t, all, requests.Load(), "what is well costs no request")
	cancel()
	running.Wait()

	n, rolls := renewed()
	assert.Equal(t, apps, n)
	assert.LessOrEqual(t, rolls, apps+apps/100, "each once, but for a few that raced")
	for _, repo := range repos {
		require.NoError(t, testrepo.NewClient(t, store, repo.App, repo.Root, true).Refresh())
	}
	t.Logf("%d apps renewed by %d replicas in %v, with %d rolls and %d requests to the store in all", apps, replicas,
		took.Round(time.Second), rolls,
		requests.Load())
}

// Postgres is away in the middle: requests get 503, nothing that was accepted is lost, and work
// goes on by itself.
func TestServersOutliveTheirDatabase(t *testing.T) {
	away := 5 * time.Second
	if os.Getenv("TUF_TEST_SOAK") != "" {
		away = 30 * time.Second
	}
	server := pgserver.StartServer(t)
	f := newFleet(t, 2, testrepo.Options{}, "-tasks", server.URL(), "-roll-timeout", "5s", "-no-renew")
	replicas := []*replica{f.replica(t), f.replica(t)}
	stop := f.poll(t)
	var accepted []string
	ask := func(n int) (refused int) {
		for i := range n {
			id, status := replicas[i%2].force(t, f.repos[i%2].App)
			if status == http.StatusOK {
				accepted = append(accepted, id)
			} else {
				assert.Equal(t, http.StatusServiceUnavailable, status)
				refused++
			}
		}
		return refused
	}
	require.Zero(t, ask(40))
	gone := time.Now()
	server.Stop()
	refused := 0
	for time.Since(gone) < away {
		refused += ask(2)
		assert.Equal(t, http.StatusServiceUnavailable, replicas[0].get(t, "/readyz"))
		assert.Equal(t, http.StatusOK, replicas[0].get(t, "/healthz"))
		time.Sleep(100 * time.Millisecond)
	}
	require.Positive(t, refused)
	require.Len(t, accepted, 40, "nothing is accepted meanwhile")
	require.NoError(t, server.Start(t))
	for _, r := range replicas {
		require.Eventually(t, func() bool { return r.get(t, "/readyz") == http.StatusOK }, patience, 50*time.Millisecond)
	}
	require.Zero(t, ask(40))
	for i, id := range accepted {
		replicas[i%2].await(t, id, rescued)
	}
	t.Logf("the database was away for %v: %d requests refused, %d accepted before and after, all done; %d polls by clients",
		away, refused, len(accepted), stop())
	for _, r := range replicas {
		r.stop(t)
	}
}
