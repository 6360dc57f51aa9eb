package custody_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAProviderThatIgnoresItsContextBlocksAKeyringUntilItEnds(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	document, err := tufmeta.Parse(repo.Root)
	require.NoError(t, err)
	root, err := tufmeta.ParseRoot(document)
	require.NoError(t, err)
	role := root.Roles[tufmeta.Timestamp]
	synctest.Test(t, func(t *testing.T) {
		provider := repo.Provider(t)
		answers := make(chan struct{})
		provider.Asked = func(keys.Request) error { <-answers; return nil }
		ring := custody.NewKeyring(provider, repo.App, custody.TargetsByKeys)
		begun := time.Now()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := ring.Of(ctx, custody.Question{Role: role})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		assert.Equal(t, begun.Add(2*time.Minute), time.Now())
		_, known := ring.Known(custody.Question{Role: role})
		assert.False(t, known, "a call that was left behind is no answer")

		close(answers)
		h, err := ring.Of(t.Context(), custody.Question{Role: role})
		require.NoError(t, err)
		assert.Equal(t, custody.Online, h.State)
	})
}
