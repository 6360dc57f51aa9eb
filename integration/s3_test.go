package integration_test

import (
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestS3StorePassesTheSuite(t *testing.T) {
	server := s3server.Start(t)
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		place := server.Place()
		if limit > 0 {
			query := place.Query()
			query.Set("limit", strconv.FormatInt(limit, 10))
			place.RawQuery = query.Encode()
		}
		return func() storage.Store {
			store, err := storage.Open(t.Context(), place.String(), s3store.Driver())
			require.NoError(t, err)
			if closer, ok := store.(io.Closer); ok {
				t.Cleanup(func() { require.NoError(t, closer.Close()) })
			}
			return store
		}
	})
}
