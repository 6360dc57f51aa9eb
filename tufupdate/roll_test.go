package tufupdate_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

// A document that delegates to very many roles, one of which is not there yet, is left for later,
// even if what was being read for it is given up.
func TestAHalfUploadAmongManyRolesIsNotInTheWay(t *testing.T) {
	var many []testrepo.Delegation
	for i := range 40 { // more than are read ahead
		many = append(many, testrepo.Delegation{Name: fmt.Sprintf("d%02d", i), Paths: []string{fmt.Sprintf("d%02d/*", i)}})
	}
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: many})
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: "late", Paths: []string{"late/*"}})
		roles := md.Delegations.Roles
		roles[0], roles[len(roles)-1] = roles[len(roles)-1], roles[0]
	})
	synctest.Test(t, func(t *testing.T) {
		u := newUpdater(t, repo, repo.Provider(t, "targets", "late"),
			func(c *tufupdate.Config) { c.Store = unequal{repo.Store} })
		result := roll(t, u, repo, "snapshot")
		assert.NotEmpty(t, result.Warnings)
		require.NoError(t, newClient(t, repo).Refresh())
	})
}

// unequal is a store that finds out sooner what is not there than what is, and takes a while to
// give up.
type unequal struct{ storage.Store }

func (s unequal) Get(ctx context.Context, key string) (storage.Object, error) {
	delay := 20 * time.Millisecond
	if strings.Contains(key, "late") {
		delay = 5 * time.Millisecond
	}
	select {
	case <-time.After(delay):
		return s.Store.Get(ctx, key)
	case <-ctx.Done():
		time.Sleep(time.Millisecond)
		return storage.Object{}, ctx.Err()
	}
}

func TestDefaultsAndNamedRolesShareARoll(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	// The first roll holds the store until the others have come.
	var begun sync.Once
	busy, others := make(chan struct{}), make(chan struct{})
	flaky := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
		begun.Do(func() { close(busy); <-others })
		return storagetest.Fault{}
	})
	u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = flaky })
	var group errgroup.Group
	ask := func(want []string, roles ...string) {
		group.Go(func() error {
			result, err := u.Roll(t.Context(), repo.App, roles)
			assert.Subset(t, result.Roles, want)
			return err
		})
	}
	ask([]string{"timestamp"}, "timestamp")
	<-busy
	ask([]string{"targets", "snapshot", "timestamp"})
	ask([]string{"inner", "snapshot", "timestamp"}, "inner")
	close(others)
	require.NoError(t, group.Wait())
	require.NoError(t, newClient(t, repo).Refresh())
}

// What is loaded while the same updater publishes something newer is out of date, and no attack.
func TestALoadIsNotRefusedForWhatIsPublishedMeanwhile(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	var u *tufupdate.Updater
	var begun atomic.Bool
	store := storagetest.NewFlaky(repo.Store, func(c storagetest.Call) storagetest.Fault {
		if c.Key == repo.File("snapshot", 1) && begun.CompareAndSwap(false, true) {
			roll(t, u, repo)
		}
		return storagetest.Fault{}
	})
	u = newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = store })
	_, err := u.ForceOnline(t.Context(), repo.App, []string{"inner"})
	require.NoError(t, err)
}

func TestANameThatTheStoreCannotHoldIsNoDelegation(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	repo.Upload(t, "team a", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: strings.Repeat("x", 1100), Paths: []string{"a/*"}})
	})
	result := roll(t, newUpdater(t, repo, repo.Provider(t, "team a")), repo)
	assert.Len(t, result.Warnings, 1)
	require.NoError(t, newClient(t, repo).Refresh())
}

// Somebody may upload as many files as he likes that nobody has signed. What they hold is not kept.
func TestLargeUploadsThatNobodySignedAreNotRemembered(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	md := repo.Targets(t, "targets", 1)
	md.Signed.Version = 2
	md.Signed.UnrecognizedFields = map[string]any{"x": strings.Repeat("x", 1<<20)}
	_, err := repo.Store.Create(t.Context(), repo.File("targets", 2), testrepo.SignWith(t, md, false))
	require.NoError(t, err)
	flaky := storagetest.NewFlaky(repo.Store, nil)
	u := newUpdater(t, repo, repo.Provider(t, "targets"),
		func(c *tufupdate.Config) { c.Store, c.CacheSize = flaky, 1<<20 })
	roll(t, u, repo, "timestamp")
	roll(t, u, repo)
	before := len(flaky.Calls())
	roll(t, u, repo, "timestamp")
	assert.Len(t, flaky.Calls()[before:], 2, "the app is remembered all the same")
}

func TestAKeyOfAnotherAppSignsNothing(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	mine := testrepo.New(t, store, testrepo.Options{App: "acme/mine"})
	theirs := testrepo.New(t, store, testrepo.Options{App: "acme/theirs"})
	provider := mine.Provider(t)
	u := newUpdater(t, mine, provider, pinning(mine, theirs))
	_, err := u.Roll(t.Context(), theirs.App, nil)
	require.ErrorIs(t, err, keys.ErrNoKey)
	assert.Zero(t, provider.Signatures())
}

func TestAnEmptyNameIsNoApp(t *testing.T) {
	assert.ErrorIs(t, tufupdate.CheckApp(""), tufupdate.ErrInvalidApp)
}

// What panics in somebody else's code fails the roll, and nothing more.
func TestAPanicIsAnError(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	for name, change := range map[string]func(c *tufupdate.Config){
		"store":    func(c *tufupdate.Config) { c.Store = panicking{repo.Store} },
		"provider": func(c *tufupdate.Config) { c.Keys = panickingKeys{} },
		"settings": func(c *tufupdate.Config) {
			c.Settings = func(context.Context, string) (tufupdate.Settings, error) { panic("oh no") }
		},
		"roots": func(c *tufupdate.Config) {
			c.Roots = func(context.Context, string) ([]byte, error) { panic("oh no") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newUpdater(t, repo, repo.Provider(t), change).Roll(t.Context(), repo.App, nil)
			assert.ErrorContains(t, err, "oh no")
		})
	}
}

type panicking struct{ storage.Store }

func (panicking) Get(context.Context, string) (storage.Object, error) { panic("oh no") }

type panickingKeys struct{}

func (panickingKeys) Signer(context.Context, keys.Request) (keys.Signer, error) { panic("oh no") }
