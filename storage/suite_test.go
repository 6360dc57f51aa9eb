package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, limit int64) func() storage.Store {
		m := storage.NewMemory()
		m.Limit = limit
		return func() storage.Store { return m }
	})
}

func TestBucketOnMemory(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		return bucket(t, memblob.OpenBucket(nil), limit)
	})
}

func TestBucketOnFiles(t *testing.T) {
	for name, options := range map[string]fileblob.Options{
		"with attributes beside them": {NoTempDir: true},
		"without attributes":          {NoTempDir: true, Metadata: fileblob.MetadataDontWrite},
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
				b, err := fileblob.OpenBucket(t.TempDir(), &options)
				require.NoError(t, err)
				return bucket(t, b, limit)
			})
		})
	}
}

func bucket(t *testing.T, b *blob.Bucket, limit int64) func() storage.Store {
	t.Cleanup(func() { b.Close() })
	s := storage.NewBucket(b)
	s.Limit = limit
	return func() storage.Store { return s }
}
