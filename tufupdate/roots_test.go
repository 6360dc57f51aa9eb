package tufupdate_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

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
	u := newUpdater(t, repo, provider, trustFirst,
		func(c *tufupdate.Config) { c.Logger, c.CacheSize = slog.New(slog.NewTextHandler(&log, nil)), -1 })
	roll(t, u, repo)
	roll(t, u, repo)
	assert.Equal(t, 1, strings.Count(log.String(), "no root is pinned"), "%s", &log)
	assert.Contains(t, log.String(), fmt.Sprintf("sha256=%x", sha256.Sum256(repo.Root)))

	for name, data := range files(t, stranger) {
		repo.Overwrite(t, name, []byte(data))
	}
	before := provider.Signatures()
	_, err := u.Roll(t.Context(), repo.App, nil)
	var verification *tufupdate.VerificationError
	require.ErrorAs(t, err, &verification)
	assert.Equal(t, before, provider.Signatures(), "nothing is signed")
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
	require.Error(t, err)
	_, err = u.Roll(t.Context(), "acme/none", nil)
	require.ErrorIs(t, err, tufupdate.ErrNotBootstrapped)
}
