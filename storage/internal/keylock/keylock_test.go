package keylock

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneHolderPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks Set
		var holders, served int
		unlock, err := locks.Lock(t.Context(), "a")
		require.NoError(t, err)

		for range 8 {
			go func() {
				unlock, err := locks.Lock(t.Context(), "a")
				assert.NoError(t, err)
				holders++
				assert.Equal(t, 1, holders)
				served++
				holders--
				unlock()
			}()
		}
		synctest.Wait()
		assert.Zero(t, served, "nobody gets a key that is held")

		other, err := locks.Lock(t.Context(), "b")
		require.NoError(t, err, "another key is free")
		other()

		unlock()
		synctest.Wait()
		assert.Equal(t, 8, served)
		assert.Empty(t, locks.locks, "keys that nobody uses are forgotten")
	})
}

func TestReadersShareAKeyAndWritersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks Set
		first, err := locks.RLock(t.Context(), "a")
		require.NoError(t, err)
		second, err := locks.RLock(t.Context(), "a")
		require.NoError(t, err, "readers share")

		written := false
		go func() {
			unlock, err := locks.Lock(t.Context(), "a")
			assert.NoError(t, err)
			written = true
			unlock()
		}()
		first()
		synctest.Wait()
		assert.False(t, written, "a writer waits for every reader")
		second()
		synctest.Wait()
		assert.True(t, written)
		assert.Empty(t, locks.locks)
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks Set
		unlock, err := locks.Lock(t.Context(), "a")
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() {
			_, err := locks.Lock(ctx, "a")
			answer <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-answer, context.Canceled)

		_, err = locks.Lock(ctx, "free")
		require.ErrorIs(t, err, context.Canceled, "a context that has ended gets no lock at all")

		unlock()
		assert.Empty(t, locks.locks)
	})
}
