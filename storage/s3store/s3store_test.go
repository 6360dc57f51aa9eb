package s3store_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestStore(t *testing.T) {
	for name, prefix := range map[string]string{"whole bucket": "", "under a prefix": "some/folder/"} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
				server := httptest.NewServer(newFakeS3())
				t.Cleanup(server.Close)
				return func() storage.Store {
					return newStore(t, server.URL, server.Client(), s3store.Options{Prefix: prefix, Limit: limit})
				}
			})
		})
	}
}

// newStore returns the Store of the bucket called "bucket" of a server.
func newStore(t *testing.T, url string, client s3.HTTPClient, opts s3store.Options) *s3store.Store {
	t.Helper()
	return s3store.New(s3.New(s3.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider("access", "secret", ""),
		HTTPClient:   client,
	}), "bucket", opts)
}

func TestHeadersFollowTheVerb(t *testing.T) {
	fake := newFakeS3()
	s := newStore(t, "http://s3", &script{fake: fake},
		s3store.Options{Prefix: "tuf/", Encryption: "aws:kms", KMSKeyID: "key"})
	_, err := s.Create(t.Context(), "app/1.root.json", []byte("{}"))
	require.NoError(t, err)
	_, err = s.Replace(t.Context(), "app/blob", storage.Absent, []byte("x"))
	require.NoError(t, err)

	created, replaced := fake.object("tuf/app/1.root.json").header, fake.object("tuf/app/blob").header
	assert.Equal(t, "application/json", created.Get("Content-Type"))
	assert.Equal(t, storage.CacheImmutable, created.Get("Cache-Control"))
	assert.Equal(t, "application/octet-stream", replaced.Get("Content-Type"))
	assert.Equal(t, storage.CacheNever, replaced.Get("Cache-Control"))
	for _, header := range []http.Header{created, replaced} {
		assert.Equal(t, "aws:kms", header.Get("x-amz-server-side-encryption"))
		assert.Equal(t, "key", header.Get("x-amz-server-side-encryption-aws-kms-key-id"))
	}
}

func TestNamesAreKeysAsTheyAre(t *testing.T) {
	fake := newFakeS3()
	s := newStore(t, "http://s3", &script{fake: fake}, s3store.Options{Prefix: "tuf/"})
	for _, key := range []string{"up../down", "a__0x2f__b"} { // which gocloud would write, or list, as another name
		_, err := s.Create(t.Context(), key, []byte(key))
		require.NoError(t, err)
		assert.Equal(t, key, string(fake.object("tuf/"+key).data))
	}
	fake.set("tuf/folder/", "")
	fake.set("outside", "")
	listed, err := s.List(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, []string{"a__0x2f__b", "up../down"}, listed, "only keys of this store")
}

func TestAKeyHasToFitWithItsPrefix(t *testing.T) {
	s := newStore(t, "http://s3", &script{fake: newFakeS3()}, s3store.Options{Prefix: "tuf/"})
	_, err := s.Create(t.Context(), strings.Repeat("k", 1024), []byte("x"))
	require.ErrorIs(t, err, storage.ErrInvalidKey)
	_, err = s.Create(t.Context(), strings.Repeat("k", 1020), []byte("x"))
	require.NoError(t, err)
}

func TestABadPrefixOrNameFailsEveryCall(t *testing.T) {
	fake := &script{fake: newFakeS3()}
	s := newStore(t, "http://s3", fake, s3store.Options{Prefix: "/tuf/"})
	_, err := s.Get(t.Context(), "key")
	require.ErrorIs(t, err, storage.ErrInvalidKey)
	_, err = s.Create(t.Context(), "key", []byte("x"))
	require.ErrorIs(t, err, storage.ErrInvalidKey)

	_, err = s3store.New(s3.New(s3.Options{HTTPClient: fake}), "", s3store.Options{}).Get(t.Context(), "key")
	requireUnknown(t, err)
}
