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
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/blob/s3blob"

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

// newStore opens the bucket called "bucket" of a server.
func newStore(t *testing.T, url string, client s3.HTTPClient, opts s3store.Options) *s3store.Store {
	t.Helper()
	s, err := s3store.New(openBucket(t, url, client), "bucket", opts)
	require.NoError(t, err)
	return s
}

func openBucket(t *testing.T, url string, client s3.HTTPClient) *blob.Bucket {
	t.Helper()
	bucket, err := s3blob.OpenBucket(t.Context(), s3.New(s3.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider("access", "secret", ""),
		HTTPClient:   client,
	}), "bucket", nil)
	require.NoError(t, err)
	t.Cleanup(func() { bucket.Close() })
	return bucket
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

func TestNewRefusesWhatIsNoBucketOfS3(t *testing.T) {
	memory := memblob.OpenBucket(nil)
	defer memory.Close()
	_, err := s3store.New(memory, "bucket", s3store.Options{})
	require.ErrorContains(t, err, "no S3 client")

	bucket := openBucket(t, "http://s3", &script{fake: newFakeS3()})
	_, err = s3store.New(bucket, "", s3store.Options{})
	require.ErrorContains(t, err, "no name")
	_, err = s3store.New(bucket, "bucket", s3store.Options{Prefix: "/tuf/"})
	require.ErrorIs(t, err, storage.ErrInvalidKey)
	_, err = s3store.New(bucket, "bucket", s3store.Options{Limit: -1})
	require.ErrorContains(t, err, "limit")
}

func TestURL(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "access")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	fake := newFakeS3()
	server := httptest.NewServer(fake)
	defer server.Close()
	base := "s3://bucket?region=us-east-1&use_path_style=true&endpoint=" + server.URL

	s, err := storage.Open(t.Context(), base+"&prefix=tuf/&limit=3&ssetype=AES256", s3store.Driver())
	require.NoError(t, err)
	_, err = s.Create(t.Context(), "key", []byte("four"))
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "key")
	require.ErrorIs(t, err, storage.ErrTooLarge, "limit")
	assert.Equal(t, "four", string(fake.object("tuf/key").data), "prefix")
	assert.Equal(t, "AES256", fake.object("tuf/key").header.Get("x-amz-server-side-encryption"), "ssetype")
}

func TestURLErrorsNameTheFaultAndShowNoSecret(t *testing.T) {
	for name, c := range map[string]struct{ url, says string }{
		"unknown parameter":     {"s3://bucket?region=x&secret_access_key=hunter2", `"secret_access_key"`},
		"bad value":             {"s3://bucket?use_path_style=perhaps&note=hunter2", "use_path_style"},
		"path":                  {"s3://bucket/folder", "prefix=folder/"},
		"given twice":           {"s3://bucket?prefix=a&prefix=b", `"prefix"`},
		"password":              {"s3://user:hunter2@bucket", "credentials"},
		"password in endpoint":  {"s3://bucket?endpoint=http://user:hunter2@host", "endpoint"},
		"endpoint is no URL":    {"s3://bucket?endpoint=:hunter2", "endpoint"},
		"prefix is no folder":   {"s3://bucket?prefix=a//", "prefix"},
		"no bucket":             {"s3://?region=x", "bucket"},
		"unknown encryption":    {"s3://bucket?ssetype=rot13", "ssetype"},
		"not enough to parse":   {"s3://user:hunter2:%zz@bucket", "cannot be parsed"},
		"secret with a slash":   {"s3://user:hunt/er2@bucket", "cannot be parsed"},
		"bad escape in a query": {"s3://bucket?secret=hunter2%zz", "query"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := storage.Open(t.Context(), c.url, s3store.Driver())
			require.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "hunt")
		})
	}
}
