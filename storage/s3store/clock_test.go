package s3store_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// Each verb's answers tell the service's time, those among them that are errors.
func TestTheClockOfTheServiceIsKnownFromItsAnswers(t *testing.T) {
	for name, call := range map[string]func(*testing.T, *s3store.Store){
		"get what is not there": func(t *testing.T, s *s3store.Store) {
			_, err := s.Get(t.Context(), "key")
			require.ErrorIs(t, err, storage.ErrNotFound)
		},
		"create": func(t *testing.T, s *s3store.Store) {
			_, err := s.Create(t.Context(), "key", []byte("x"))
			require.NoError(t, err)
		},
		"replace what has changed": func(t *testing.T, s *s3store.Store) {
			_, err := s.Replace(t.Context(), "key", `"old"`, []byte("x"))
			require.ErrorIs(t, err, storage.ErrConflict)
		},
		"delete": func(t *testing.T, s *s3store.Store) { require.NoError(t, s.Delete(t.Context(), "key")) },
		"list": func(t *testing.T, s *s3store.Store) {
			_, err := s.List(t.Context(), "")
			require.NoError(t, err)
		},
	} {
		for _, ahead := range []time.Duration{time.Hour, 0, -time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeS3()
				server := &script{fake: fake}
				s := newStore(t, "http://s3", server, s3store.Options{})
				clock, ok := storage.As[storage.Clock](storagetest.NewFlaky(s, nil))
				require.True(t, ok, "also behind a wrapper")
				_, known := clock.Skew()
				assert.False(t, known, "before the first answer")
				fake.ahead = &ahead
				call(t, s)
				skew, known := clock.Skew()
				assert.True(t, known)
				assert.Equal(t, ahead, skew, name)
			})
		}
	}
}

// An answer that did not come, or bears no time, leaves what is known of the clock as it was.
func TestTheClockOfTheServiceIsThatOfItsNewestAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeS3()
		server := &script{fake: fake}
		s := newStore(t, "http://s3", server, s3store.Options{})
		for _, ahead := range []time.Duration{time.Hour, time.Minute} {
			fake.ahead = &ahead
			_, _ = s.Get(t.Context(), "key")
			skew, _ := s.Skew()
			assert.Equal(t, ahead, skew)
		}
		fake.ahead = nil
		_, _ = s.Get(t.Context(), "key")
		server.get = []step{func(*script, http.ResponseWriter, *http.Request) error { return errBroken }}
		_, _ = s.Get(t.Context(), "key")
		skew, known := s.Skew()
		assert.True(t, known)
		assert.Equal(t, time.Minute, skew)
	})
}
