package tufupdate_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

func TestForgettingSaysWhichVersionsAndRemovesThem(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	memory := storage.NewMemory(storage.MemoryOptions{})
	marks := repofiles.Marks{Root: repofiles.Mark{Version: 3, Keys: []string{digest}}}
	marks.Roles = map[string][]repofiles.Mark{"snapshot": {{Version: 7, Keys: []string{digest}}}}
	require.NoError(t, repofiles.NewRecord(memory).Write(t.Context(), repo.App, marks))

	u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Memory = memory })
	forgotten, err := u.Forget(t.Context(), repo.App)
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"root": 3, "snapshot": 7}, forgotten)
	left, err := memory.List(t.Context(), "")
	require.NoError(t, err)
	assert.Empty(t, left)
	forgotten, err = u.Forget(t.Context(), repo.App)
	require.NoError(t, err)
	assert.Empty(t, forgotten)

	_, err = u.Forget(t.Context(), "../"+repo.App)
	require.ErrorIs(t, err, tufupdate.ErrInvalidApp)
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// A repository that was put back on purpose is rolled once the app is forgotten.
func TestAnEarlierStateIsRolledOnceTheAppIsForgotten(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	repo := testrepo.New(t, store, testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t))
	earlier := repo.Read(t, repo.File("timestamp", 0))
	roll(t, u, repo)
	repo.Overwrite(t, repo.File("timestamp", 0), earlier)
	_, err := u.Roll(t.Context(), repo.App, nil)
	require.Error(t, err)

	_, err = u.Forget(t.Context(), repo.App)
	require.NoError(t, err)
	roll(t, u, repo)
}

func TestForgettingFailsIfTheMemoryDoes(t *testing.T) {
	down := errors.New("down")
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
		c.Memory = storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(storagetest.Call) storagetest.Fault {
			return storagetest.Fault{Before: down}
		})
	})
	_, err := u.Forget(t.Context(), repo.App)
	require.ErrorIs(t, err, down)
	require.ErrorContains(t, err, repo.App)
}
