package tufupdate_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

var discard = slog.New(slog.DiscardHandler)

// newUpdater returns an updater that trusts the repository's first root.
func newUpdater(t testing.TB, repo *testrepo.Repo, provider *testrepo.Provider,
	change ...func(*tufupdate.Config)) *tufupdate.Updater {
	t.Helper()
	pin := repo.Root
	if repo.Pin != nil {
		pin = repo.Pin
	}
	config := tufupdate.Config{
		Store: repo.Store, Keys: provider, Roots: tufupdate.PinnedRoot(pin), Logger: discard,
	}
	for _, f := range change {
		f(&config)
	}
	u, err := tufupdate.New(config)
	require.NoError(t, err)
	return u
}

// pinned pins the first root of each repository. Other apps have none.
func pinned(repos ...*testrepo.Repo) func(context.Context, string) ([]byte, error) {
	return func(_ context.Context, app string) ([]byte, error) {
		for _, repo := range repos {
			if repo.App == app {
				return repo.Root, nil
			}
		}
		return nil, tufupdate.ErrNotBootstrapped
	}
}

// trustFirst has an updater trust the first root that it sees.
func trustFirst(c *tufupdate.Config) { c.Roots = tufupdate.TrustFirstRoot }

// pinning has an updater pin the first roots of several repositories.
func pinning(repos ...*testrepo.Repo) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) { c.Roots = pinned(repos...) }
}

func roll(t testing.TB, u *tufupdate.Updater, repo *testrepo.Repo, roles ...string) tasks.Result {
	t.Helper()
	result, err := u.Roll(t.Context(), repo.App, roles)
	require.NoError(t, err)
	return result
}

func newClient(t testing.TB, repo *testrepo.Repo) *testrepo.Client {
	t.Helper()
	return testrepo.NewClient(t, repo.Store, repo.App, repo.Root, true)
}

func versions(t testing.TB, c *testrepo.Client) map[string]int64 {
	t.Helper()
	v, err := c.Versions()
	require.NoError(t, err)
	return v
}

// nested are delegations three deep, with thresholds and names that need quoting.
var nested = []testrepo.Delegation{
	{Name: "team a", Paths: []string{"a/*"}, Target: "a/file", Children: []testrepo.Delegation{
		{Name: "inner", Paths: []string{"a/*"}, Target: "a/inner", Children: []testrepo.Delegation{
			{Name: "innermost", Paths: []string{"a/*"}, Target: "a/innermost"},
		}},
	}},
	{Name: "team+b/ü", Paths: []string{"b/*"}, Target: "b/file"},
}

// files returns all that the repository's store holds.
func files(t testing.TB, repo *testrepo.Repo) map[string]string {
	t.Helper()
	names, err := repo.Store.(storage.Lister).List(t.Context(), "")
	require.NoError(t, err)
	all := map[string]string{}
	for _, name := range names {
		all[name] = string(repo.Read(t, name))
	}
	return all
}

func settings(s tufupdate.Settings) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) {
		c.Settings = func(context.Context, string) (tufupdate.Settings, error) { return s, nil }
	}
}

func pin(root []byte) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) {
		c.Roots = func(context.Context, string) ([]byte, error) { return root, nil }
	}
}

func status(t *testing.T, u *tufupdate.Updater, repo *testrepo.Repo) (map[string]tufupdate.RoleStatus, []string) {
	t.Helper()
	s, err := u.Status(t.Context(), repo.App)
	require.NoError(t, err)
	roles := map[string]tufupdate.RoleStatus{}
	for _, r := range s.Roles {
		roles[r.Role] = r
	}
	require.Len(t, roles, len(s.Roles), "each role once")
	return roles, s.Warnings
}

// warnLate keeps warnings of what expires out of the way.
func warnLate(c *tufupdate.Config) { c.WarnExpiry = time.Second }

// newTasks returns a task store in memory.
func newTasks() tasks.Store { return tasks.NewMemory(tasks.MemoryOptions{}) }

// electing is a task store of which one process leads.
type electing struct {
	tasks.Store
	leads atomic.Bool
}

func (e *electing) Leads() bool { return e.leads.Load() }

// asking is a log handler that asks something for each line.
type asking struct {
	records
	ask func()
}

func (a *asking) WithAttrs([]slog.Attr) slog.Handler { return a }

func (a *asking) Handle(ctx context.Context, record slog.Record) error {
	a.ask()
	return a.records.Handle(ctx, record)
}
