package storagetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestFlakyPassesTheSuiteWhenNothingFails(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, limit int64) func() storage.Store {
		m := storage.NewMemory(storage.MemoryOptions{Limit: limit})
		return func() storage.Store { return storagetest.NewFlaky(m, nil) }
	})
}

func TestFlakyFailsBeforeOrAfter(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		fault storagetest.Fault
		lands bool
	}{
		"before it lands": {storagetest.Fault{Before: broken}, false},
		"after it landed": {storagetest.Fault{After: broken}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := storage.NewMemory(storage.MemoryOptions{})
			f := storagetest.NewFlaky(m, func(storagetest.Call) storagetest.Fault { return c.fault })
			_, err := f.Create(t.Context(), "created", []byte("x"))
			require.ErrorIs(t, err, broken)
			_, err = f.Replace(t.Context(), "replaced", storage.Absent, []byte("x"))
			require.ErrorIs(t, err, broken)
			_, err = f.Get(t.Context(), "created")
			require.ErrorIs(t, err, broken)
			_, err = f.List(t.Context(), "")
			require.ErrorIs(t, err, broken)

			keys, err := m.List(t.Context(), "")
			require.NoError(t, err)
			if c.lands {
				assert.Equal(t, []string{"created", "replaced"}, keys)
			} else {
				assert.Empty(t, keys)
			}
			require.ErrorIs(t, f.Delete(t.Context(), "created"), broken)
		})
	}
}

func TestFlakyHangsUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storage.NewMemory(storage.MemoryOptions{})
		f := storagetest.NewFlaky(m, func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Hang: true} })
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() {
			_, err := f.Create(ctx, "key", []byte("x"))
			answer <- err
		}()
		synctest.Wait()
		assert.Empty(t, answer)
		assert.Zero(t, f.Calls()[0].End, "under way")
		cancel()
		require.ErrorIs(t, <-answer, context.Canceled)
		_, err := m.Get(t.Context(), "key")
		require.ErrorIs(t, err, storage.ErrNotFound)
	})
}

func TestFlakyTellsEachCallApart(t *testing.T) {
	var asked []storagetest.Call
	f := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(c storagetest.Call) storagetest.Fault {
		asked = append(asked, c)
		return storagetest.Fault{}
	})
	_, err := f.Get(t.Context(), "a")
	require.ErrorIs(t, err, storage.ErrNotFound)
	version, err := f.Create(t.Context(), "a", []byte("1"))
	require.NoError(t, err)
	_, err = f.Replace(t.Context(), "a", version, []byte("2"))
	require.NoError(t, err)
	require.NoError(t, f.Delete(t.Context(), "a"))
	_, err = f.List(t.Context(), "pre")
	require.NoError(t, err)

	want := []storagetest.Call{
		{Verb: storagetest.Get, Key: "a", N: 1, Start: 1, End: 2},
		{Verb: storagetest.Create, Key: "a", N: 2, Write: 1, Start: 3, End: 4},
		{Verb: storagetest.Replace, Key: "a", N: 3, Write: 2, Start: 5, End: 6},
		{Verb: storagetest.Delete, Key: "a", N: 4, Start: 7, End: 8},
		{Verb: storagetest.List, Key: "pre", N: 5, Start: 9, End: 10},
	}
	assert.Equal(t, want, f.Calls())
	for i := range want {
		want[i].End = 0
	}
	assert.Equal(t, want, asked, "what the fault function was asked")
}

func TestFlakyHasWhatItsStoreHas(t *testing.T) {
	f := storagetest.NewFlaky(struct{ storage.Store }{storage.NewMemory(storage.MemoryOptions{})}, nil)
	require.ErrorIs(t, f.Delete(t.Context(), "key"), errors.ErrUnsupported)
	_, err := f.List(t.Context(), "")
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestDepthCountsWhatLiesOneAfterTheOther(t *testing.T) {
	type span struct{ start, end int }
	for name, c := range map[string]struct {
		spans []span
		depth int
	}{
		"nothing":                        {nil, 0},
		"one":                            {[]span{{1, 2}}, 1},
		"in a row":                       {[]span{{1, 2}, {3, 4}, {5, 6}}, 3},
		"all at once":                    {[]span{{1, 6}, {2, 5}, {3, 4}}, 1},
		"two at once, then one":          {[]span{{1, 3}, {2, 4}, {5, 6}}, 2},
		"one beside two in a row":        {[]span{{1, 6}, {2, 3}, {4, 5}}, 2},
		"begins while the other one is":  {[]span{{1, 3}, {2, 4}}, 1},
		"ends, begins, and overlaps two": {[]span{{1, 2}, {3, 5}, {4, 8}, {6, 7}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []storagetest.Call
			for _, s := range c.spans {
				calls = append(calls, storagetest.Call{Start: s.start, End: s.end})
			}
			assert.Equal(t, c.depth, storagetest.Depth(calls))
		})
	}
}

// TestFlakyMeasuresOverlap holds two calls until both are under way.
func TestFlakyMeasuresOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(storagetest.Call) storagetest.Fault {
			<-release
			return storagetest.Fault{}
		})
		for _, key := range []string{"a", "b"} {
			go func() {
				_, err := f.Create(t.Context(), key, []byte("x"))
				assert.NoError(t, err)
			}()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		require.Len(t, f.Calls(), 2)
		assert.Equal(t, 1, storagetest.Depth(f.Calls()))
		_, err := f.Get(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, 2, storagetest.Depth(f.Calls()))
	})
}
