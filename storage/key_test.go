package storage_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

func TestKeysAreAsLongAsS3Takes(t *testing.T) {
	require.NoError(t, storage.CheckKey(strings.Repeat("k", 1024)))
	require.ErrorIs(t, storage.CheckKey(strings.Repeat("k", 1025)), storage.ErrInvalidKey)
	require.ErrorIs(t, storage.CheckKey(strings.Repeat("é", 513)), storage.ErrInvalidKey, "in bytes")
}

func TestContentTypeFollowsTheName(t *testing.T) {
	assert.Equal(t, "application/json", storage.ContentType("app/1.root.json"))
	assert.Equal(t, "application/octet-stream", storage.ContentType("app/targets/app.tar.gz"))
	assert.Equal(t, "application/octet-stream", storage.ContentType("json"))
}

// FuzzCheckKey holds that every key is a path that stays below where it starts.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../x", "a//b", "/a", "a/../b", "a/", ".", "", "a\x00", "a\\b", "\xff"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		err := storage.CheckKey(key)
		if err != nil {
			require.ErrorIs(t, err, storage.ErrInvalidKey)
			return
		}
		require.True(t, fs.ValidPath(key))
		require.NotEqual(t, ".", key)
		require.NotContains(t, key, "\\")
	})
}
