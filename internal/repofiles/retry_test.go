package repofiles_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// pauses is more than the pauses between tries take, and less than any limit.
const pauses = time.Second

// Each of a store's calls, with 2 MiB where it writes.
var calls = map[storagetest.Verb]func(context.Context, storage.Store) error{
	storagetest.Get: func(ctx context.Context, s storage.Store) error {
		_, err := s.Get(ctx, "app/there")
		return err
	},
	storagetest.Create: func(ctx context.Context, s storage.Store) error {
		_, err := s.Create(ctx, "app/new", make([]byte, 2<<20))
		return err
	},
	storagetest.Replace: func(ctx context.Context, s storage.Store) error {
		_, err := s.Replace(ctx, "app/replaced", storage.Absent, make([]byte, 2<<20))
		return err
	},
	storagetest.List: func(ctx context.Context, s storage.Store) error {
		return repofiles.NewSet(s, repofiles.State{}, false).List(ctx, "app")
	},
}

// limits are those of the tries of a call.
func limits(verb storagetest.Verb) []time.Duration {
	l := []time.Duration{10 * time.Second, 30 * time.Second, 90 * time.Second}
	if verb == storagetest.Create || verb == storagetest.Replace {
		for i := range l {
			l[i] += 2 * time.Second // one for each MiB
		}
	}
	return l
}

func TestACallWithoutAnAnswerIsRepeatedAfterItsLimit(t *testing.T) {
	for verb, call := range calls {
		for lost := range 4 {
			synctest.Test(t, func(t *testing.T) {
				m := storage.NewMemory(storage.MemoryOptions{})
				_, err := m.Create(t.Context(), "app/there", []byte("x"))
				require.NoError(t, err)
				flaky := storagetest.NewFlaky(m, func(c storagetest.Call) storagetest.Fault {
					return storagetest.Fault{Hang: c.N <= lost}
				})
				begun, waited := time.Now(), time.Duration(0)
				err = call(t.Context(), repofiles.Retry(flaky))
				for _, limit := range limits(verb)[:min(lost, 3)] {
					waited += limit
				}
				assert.GreaterOrEqual(t, time.Since(begun), waited, "%s, %d answers are lost", verb, lost)
				assert.Less(t, time.Since(begun), waited+pauses, "%s, %d answers are lost", verb, lost)
				if lost < 3 {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, "no answer of the store within "+limits(verb)[2].String())
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

func TestACallEndsWithItsContextBeforeItsLimit(t *testing.T) {
	for _, call := range calls {
		synctest.Test(t, func(t *testing.T) {
			flaky := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}),
				func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Hang: true} })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			begun := time.Now()
			err := call(ctx, repofiles.Retry(flaky))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "no answer of the store within")
			assert.Equal(t, 5*time.Second, time.Since(begun))
			assert.Len(t, flaky.Calls(), 1)
		})
	}
}
