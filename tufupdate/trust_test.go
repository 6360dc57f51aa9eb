package tufupdate_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

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

// refused rolls, and requires that it fails, that nothing was signed and that nothing in the store
// has changed.
func refused(t *testing.T, u *tufupdate.Updater, repo *testrepo.Repo, provider *testrepo.Provider,
	roles ...string) error {
	t.Helper()
	before, signed := files(t, repo), provider.Signatures()
	_, err := u.Roll(t.Context(), repo.App, roles)
	require.Error(t, err)
	assert.Equal(t, signed, provider.Signatures(), "something was signed")
	assert.Equal(t, before, files(t, repo))
	return err
}

// forgetful has an updater read everything anew for each roll.
func forgetful(c *tufupdate.Config) { c.CacheSize = -1 }

// What somebody does who can write to the bucket. Each makes a roll of everything fail without a
// signature, with an error that names the file.
func TestTamperedRepositoriesAreRefused(t *testing.T) {
	stranger := func(t *testing.T, repo *testrepo.Repo) *testrepo.Repo { // the same app, made by somebody else
		return testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
			testrepo.Options{App: repo.App, Delegation: nested})
	}
	for name, test := range map[string]struct {
		tamper func(t *testing.T, repo *testrepo.Repo)
		role   string
	}{
		"targets replaced": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("targets", 2), stranger(t, repo).Read(t, repo.File("targets", 1)))
		}, "targets"},
		"targets taken back": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("targets", 2), repo.Read(t, repo.File("targets", 1)))
		}, "targets"},
		"targets of another role": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("targets", 2), repo.Read(t, repo.File("inner", 1)))
		}, "targets"},
		"targets gone": {func(t *testing.T, repo *testrepo.Repo) {
			require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), repo.File("targets", 2)))
		}, "targets"},
		"targets with a signature too few": {func(t *testing.T, repo *testrepo.Repo) {
			md := repo.Targets(t, "targets", 2)
			repo.Overwrite(t, repo.File("targets", 2), testrepo.SignWith(t, md, false, repo.Keys["targets"][0]))
		}, "targets"},
		"targets with one key's signature under two IDs": {func(t *testing.T, repo *testrepo.Repo) {
			md := repo.Targets(t, "targets", 2)
			md.Signatures[1].Signature = md.Signatures[0].Signature
			data, err := md.ToBytes(false)
			require.NoError(t, err)
			repo.Overwrite(t, repo.File("targets", 2), data)
		}, "targets"},
		"snapshot of a stranger": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("snapshot", 2), stranger(t, repo).Read(t, repo.File("snapshot", 1)))
		}, "snapshot"},
		"snapshot taken back": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("snapshot", 2), repo.Read(t, repo.File("snapshot", 1)))
		}, "snapshot"},
		"timestamp of a stranger": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("timestamp", 0), stranger(t, repo).Read(t, repo.File("timestamp", 0)))
		}, "timestamp"},
		"timestamp is the snapshot": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("timestamp", 0), repo.Read(t, repo.File("snapshot", 2)))
		}, "timestamp"},
		"duplicate members": {func(t *testing.T, repo *testrepo.Repo) {
			data := repo.Read(t, repo.File("snapshot", 2))
			repo.Overwrite(t, repo.File("snapshot", 2),
				bytes.Replace(data, []byte(`"signed":{`), []byte(`"signed":{"version":9,`), 1))
		}, "snapshot"},
		"null where an object belongs": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("snapshot", 2), []byte(`{"signed":null,"signatures":null}`))
		}, "snapshot"},
		"cut off": {func(t *testing.T, repo *testrepo.Repo) {
			data := repo.Read(t, repo.File("timestamp", 0))
			repo.Overwrite(t, repo.File("timestamp", 0), data[:len(data)-9])
		}, "timestamp"},
		"root of a stranger": {func(t *testing.T, repo *testrepo.Repo) {
			repo.Overwrite(t, repo.File("root", 2), stranger(t, repo).Read(t, repo.File("root", 1)))
		}, "root"},
		"root signed by its own keys only": {func(t *testing.T, repo *testrepo.Repo) {
			other := stranger(t, repo)
			other.Rotate(t, "snapshot")
			repo.Overwrite(t, repo.File("root", 2), other.Read(t, repo.File("root", 2)))
		}, "root"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
				Hashes: true, Delegation: nested, Threshold: map[string]int{"targets": 2},
			})
			provider := repo.Provider(t)
			u := newUpdater(t, repo, provider, forgetful)
			warm, client := newUpdater(t, repo, repo.Provider(t)), newClient(t, repo)
			roll(t, warm, repo)
			require.NoError(t, client.Refresh())
			test.tamper(t, repo)
			err := refused(t, u, repo, provider)
			var verification *tufupdate.VerificationError
			require.ErrorAs(t, err, &verification)
			assert.Equal(t, test.role, verification.Role)
			assert.Equal(t, repo.App, verification.App)
			assert.True(t, strings.HasPrefix(verification.File, repo.App+"/"), verification.File)

			// Who remembers what was there goes on from that, and need not even notice.
			before := files(t, repo)
			if _, err := warm.Roll(t.Context(), repo.App, nil); err != nil {
				require.ErrorAs(t, err, &verification)
			} else {
				require.NoError(t, client.Refresh())
			}
			for name, data := range files(t, repo) {
				if old, ok := before[name]; ok && name != repo.File("timestamp", 0) {
					assert.Equal(t, old, data, name)
				}
			}
		})
	}
}

func TestATimestampOlderThanTheLastSeenIsRefused(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	u := newUpdater(t, repo, provider, forgetful)
	old := repo.Read(t, repo.File("timestamp", 0))
	roll(t, u, repo)
	repo.Overwrite(t, repo.File("timestamp", 0), old)
	err := refused(t, u, repo, provider)
	assert.ErrorContains(t, err, "version 2 has been seen before")
	_, err = newUpdater(t, repo, repo.Provider(t)).Roll(t.Context(), repo.App, nil)
	require.NoError(t, err, "who has not seen it cannot tell")
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

func TestANewerRootMayBePinned(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	pinned := repo.Root
	u := newUpdater(t, repo, repo.Provider(t), forgetful, func(c *tufupdate.Config) {
		c.Roots = func(context.Context, string) ([]byte, error) { return pinned, nil }
	})
	repo.Rotate(t, "root")
	roll(t, u, repo)
	pinned = repo.Read(t, repo.File("root", 2))
	roll(t, u, repo)
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

func TestAFileOverTheLimitIsRefused(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	u := newUpdater(t, repo, provider, func(c *tufupdate.Config) {
		c.Store = &limited{repo.Store,
			repo.File("targets", 1)}
	})
	assert.ErrorIs(t, refused(t, u, repo, provider), storage.ErrTooLarge)
	result := roll(t, newUpdater(t, repo, repo.Provider(t, "targets"), func(c *tufupdate.Config) {
		c.Store = &limited{repo.Store, repo.File("targets", 1)}
	}), repo)
	assert.Len(t, result.Warnings, 1, "an offline role that cannot be read stops nothing")
}

// limited is a store in which one object is too large.
type limited struct {
	storage.Store
	key string
}

func (s *limited) Get(ctx context.Context, key string) (storage.Object, error) {
	if key == s.key {
		return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrTooLarge)
	}
	return s.Store.Get(ctx, key)
}

func TestRequestsAreRefused(t *testing.T) {
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		options testrepo.Options
		offline []string
		app     string
		roles   []string
		change  func(*tufupdate.Config)
		want    error
	}{
		"app outside":             {app: "../app", want: tufupdate.ErrInvalidApp},
		"app without a name":      {app: "/", want: tufupdate.ErrInvalidApp},
		"hidden app":              {app: "acme/.app", want: tufupdate.ErrInvalidApp},
		"app with a double slash": {app: "acme//app", want: tufupdate.ErrInvalidApp},
		"app that is not there":   {app: "acme/other", want: tufupdate.ErrNotBootstrapped},
		"root":                    {roles: []string{"snapshot", "root"}, want: tufupdate.ErrRootRole},
		"unknown role":            {roles: []string{"snapshot", "nobody"}, want: tufupdate.ErrUnknownRole},
		"role outside":            {roles: []string{"../x"}, want: tufupdate.ErrUnknownRole},
		"role with a suffix":      {roles: []string{"targets.json"}, want: tufupdate.ErrUnknownRole},
		"empty role":              {roles: []string{""}, want: tufupdate.ErrUnknownRole},
		"targets offline": {roles: []string{"targets"}, offline: []string{"targets"},
			want: tufupdate.ErrTargetsOffline},
		"targets offline by its settings": {roles: []string{"targets"},
			change: settings(tufupdate.Settings{Targets: tufupdate.TargetsOffline}),
			want:   tufupdate.ErrTargetsOffline},
		"targets online without a key": {offline: []string{"targets"},
			change: settings(tufupdate.Settings{Targets: tufupdate.TargetsOnline}),
			roles:  []string{"targets"}, want: tufupdate.ErrNoKey},
		"delegated role offline": {roles: []string{"inner"}, offline: []string{"inner"},
			options: testrepo.Options{Delegation: nested},
			want:    tufupdate.ErrNoKey},
		"no snapshot key":  {offline: []string{"snapshot"}, want: tufupdate.ErrNoKey},
		"no timestamp key": {roles: []string{"timestamp"}, offline: []string{"timestamp"}, want: tufupdate.ErrNoKey},
		"not ready": {change: settings(tufupdate.Settings{NotReady: "bootstrap is under way"}),
			want: tufupdate.ErrNotBootstrapped},
		"root has expired": {options: testrepo.Options{Expires: map[string]time.Time{"root": time.Now().Add(-day)}},
			want: tufupdate.ErrRootExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), test.options)
			provider := repo.Provider(t, test.offline...)
			change := test.change
			if change == nil {
				change = func(*tufupdate.Config) {}
			}
			u := newUpdater(t, repo, provider, change)
			app := test.app
			if app == "" {
				app = repo.App
			}
			before := files(t, repo)
			_, err := u.ForceOnline(t.Context(), app, test.roles)
			require.ErrorIs(t, err, test.want)
			_, err = u.Roll(t.Context(), app, test.roles)
			require.ErrorIs(t, err, test.want)
			assert.Zero(t, provider.Signatures())
			assert.Equal(t, before, files(t, repo))
		})
	}
}

func TestAnEmptyNameIsNoApp(t *testing.T) {
	assert.ErrorIs(t, tufupdate.CheckApp(""), tufupdate.ErrInvalidApp)
}

func settings(s tufupdate.Settings) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) {
		c.Settings = func(context.Context, string) (tufupdate.Settings, error) { return s, nil }
	}
}

func TestSettingsThatCannotBeReadStopTheWork(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	down := fmt.Errorf("settings are out of reach")
	u := newUpdater(t, repo, provider, func(c *tufupdate.Config) {
		c.Settings = func(context.Context, string) (tufupdate.Settings, error) { return tufupdate.Settings{}, down }
	})
	assert.ErrorIs(t, refused(t, u, repo, provider), down)
}

func TestANameThatLeavesItsFolderIsNoDelegation(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	u := newUpdater(t, repo, provider)
	repo.Upload(t, "targets", 2, func(md *metadata.TargetsType) {
		repo.Declare(t, md, testrepo.Delegation{Name: "../x", Paths: []string{"*"}})
	})
	result := roll(t, u, repo)
	require.NotEmpty(t, result.Warnings)
	assert.Contains(t, result.Warnings[0], `"../x" has the segment ".."`)
	assert.EqualValues(t, 3, result.Versions["targets"])
	require.NoError(t, newClient(t, repo).Refresh())
}

func pin(root []byte) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) { c.Roots = tufupdate.PinnedRoot(root) }
}

func TestAPinnedRootIsTheOnlyOneThatCounts(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	stranger := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	require.Error(t, refused(t, newUpdater(t, repo, provider, pin(stranger.Root)), repo, provider))
	require.Error(t, refused(t, newUpdater(t, repo, provider, pin([]byte("{}"))), repo, provider))
	require.Error(t, refused(t, newUpdater(t, repo, provider, pin(nil)), repo, provider))
	roll(t, newUpdater(t, repo, provider), repo)
}

func TestNoRootsIsAnErrorThatSaysWhatToPass(t *testing.T) {
	_, err := tufupdate.New(tufupdate.Config{Store: storage.NewMemory(storage.MemoryOptions{}), Keys: keys.NewMemory()})
	for _, name := range []string{"Config.Roots", "PinnedRoot", "TrustFirstRoot"} {
		require.ErrorContains(t, err, name)
	}
}

// An attacker who exchanges the repository afterwards gets nothing signed.
func TestTrustFirstRootStaysWithTheRootSeenFirst(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	stranger := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	var log bytes.Buffer
	u := newUpdater(t, repo, provider, forgetful, trustFirst,
		func(c *tufupdate.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	roll(t, u, repo)
	roll(t, u, repo)
	assert.Equal(t, 1, strings.Count(log.String(), "no root is pinned"), "%s", &log)
	assert.Contains(t, log.String(), fmt.Sprintf("sha256=%x", sha256.Sum256(repo.Root)))

	for name, data := range files(t, stranger) {
		repo.Overwrite(t, name, []byte(data))
	}
	var verification *tufupdate.VerificationError
	require.ErrorAs(t, refused(t, u, repo, provider), &verification)
	assert.Equal(t, repo.File("root", 1), verification.File)
}

func TestARootsFunctionMayPinSomeAppsAndTrustTheFirstRootOfOthers(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	mine := testrepo.New(t, store, testrepo.Options{App: "acme/mine"})
	theirs := testrepo.New(t, store, testrepo.Options{App: "acme/theirs"})
	u := newUpdater(t, mine, nil, func(c *tufupdate.Config) {
		c.Keys = providers(t, []*testrepo.Repo{mine, theirs})
		c.Roots = func(ctx context.Context, app string) ([]byte, error) {
			if app == mine.App {
				return theirs.Root, nil // wrong
			}
			data, err := tufupdate.TrustFirstRoot(ctx, app)
			return data, fmt.Errorf("%s: %w", app, err)
		}
	})
	roll(t, u, theirs)
	_, err := u.Roll(t.Context(), mine.App, nil)
	var verification *tufupdate.VerificationError
	require.ErrorAs(t, err, &verification)
	_, err = u.Roll(t.Context(), "acme/none", nil)
	require.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
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
