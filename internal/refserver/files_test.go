package refserver

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

// A mapStore is a store with fixed objects and failures.
type mapStore struct {
	storage.Store
	objects  map[string]string
	failures map[string]error
}

func (m mapStore) Get(_ context.Context, key string) (storage.Object, error) {
	if err := m.failures[key]; err != nil {
		return storage.Object{}, err
	}
	data, ok := m.objects[key]
	if !ok {
		return storage.Object{}, storage.ErrNotFound
	}
	return storage.Object{Data: []byte(data), Version: "1"}, nil
}

const (
	sha256Name = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	noSuchFile = `{"message":"File not available.","error":"no such file"}`
)

func TestPublicFiles(t *testing.T) {
	store := mapStore{objects: map[string]string{
		"acme/desktop/timestamp.json":                         "timestamp",
		"acme/desktop/snapshot.json":                          "snapshot",
		"acme/desktop/1.root.json":                            "root",
		"acme/desktop/0.root.json":                            "zero",
		"acme/desktop/12.a role.json":                         "quoted",
		"acme/desktop/3.Zürich%.json":                         "unicode",
		"acme/desktop/5.team/a.json":                          "role with a slash",
		"acme/desktop/targets/" + sha256Name + ".app.bin":     "hashed",
		"acme/desktop/targets/v1/" + sha256Name + ".app.json": "hashed in a folder",
		"acme/desktop/targets/app.bin":                        "unhashed",
		"acme/desktop/targets/1.app.json":                     "not metadata",
		"acme/targets/1.root.json":                            "app is called targets",
		"acme/desktop/stable/timestamp.json":                  "nested app",
	}}
	url, _ := startHTTP(t, Config{Public: store})
	const jsonType, binaryType = "application/json", "application/octet-stream"

	for _, tc := range []struct{ path, body, contentType, cache string }{
		{"acme/desktop/timestamp.json", "timestamp", jsonType, storage.CacheNever},
		{"acme/desktop/snapshot.json", "snapshot", jsonType, storage.CacheNever},
		{"acme/desktop/1.root.json", "root", jsonType, storage.CacheImmutable},
		{"acme/desktop/0.root.json", "zero", jsonType, storage.CacheNever},
		{"acme/desktop/12.a%20role.json", "quoted", jsonType, storage.CacheImmutable},
		{"acme/desktop/5.team%2Fa.json", "role with a slash", jsonType, storage.CacheNever},
		{"acme/desktop/3.Z%C3%BCrich%25.json", "unicode", jsonType, storage.CacheImmutable},
		{"acme/desktop/targets/" + sha256Name + ".app.bin", "hashed", binaryType, storage.CacheImmutable},
		{"acme/desktop/targets/v1/" + sha256Name + ".app.json", "hashed in a folder", jsonType, storage.CacheImmutable},
		{"acme/desktop/targets/app.bin", "unhashed", binaryType, storage.CacheNever},
		{"acme/desktop/targets/1.app.json", "not metadata", jsonType, storage.CacheNever},
		{"acme/targets/1.root.json", "app is called targets", jsonType, storage.CacheImmutable},
		{"acme/desktop/stable/timestamp.json", "nested app", jsonType, storage.CacheNever},
	} {
		t.Run(tc.path, func(t *testing.T) {
			got := send(t, http.MethodGet, url+publicPrefix+tc.path, nil)
			assert.Equal(t, http.StatusOK, got.status)
			assert.Equal(t, tc.body, got.body)
			assert.Equal(t, tc.contentType, got.header.Get("Content-Type"))
			assert.Equal(t, tc.cache, got.header.Get("Cache-Control"))
			assert.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))

			head := send(t, http.MethodHead, url+publicPrefix+tc.path, nil)
			assert.Equal(t, http.StatusOK, head.status)
			assert.Empty(t, head.body)
			for _, name := range []string{"Content-Length", "Content-Type", "Cache-Control", "ETag"} {
				assert.NotEmpty(t, head.header.Get(name), name)
				assert.Equal(t, got.header.Get(name), head.header.Get(name), name)
			}
			same := send(t, http.MethodGet, url+publicPrefix+tc.path, nil, "If-None-Match", got.header.Get("ETag"))
			assert.Equal(t, http.StatusNotModified, same.status)
			assert.Empty(t, same.body)
		})
	}
}

func TestOtherContentHasAnotherETag(t *testing.T) {
	store := mapStore{objects: map[string]string{"acme/desktop/timestamp.json": "one"}}
	url, _ := startHTTP(t, Config{Public: store})
	before := send(t, http.MethodGet, url+publicPrefix+"acme/desktop/timestamp.json", nil)
	store.objects["acme/desktop/timestamp.json"] = "two"
	after := send(t, http.MethodGet, url+publicPrefix+"acme/desktop/timestamp.json", nil, "If-None-Match",
		before.header.Get("ETag"))
	assert.Equal(t, http.StatusOK, after.status)
	assert.Equal(t, "two", after.body)
}

func TestWhatIsNoFileIsNotFound(t *testing.T) {
	// A server that decoded or cleaned paths carelessly would serve each of these.
	store := mapStore{objects: map[string]string{
		"acme/desktop/1.root.json": "root", "acme/desktop": "app", "acme": "owner", "acme/desktop/.lock": "lock",
		"acme/.git/config":                         "git",
		"acme/desktop/targets/../../../etc/passwd": "secret", `acme/desktop\..\x`: "secret", "acme/desktop/a\x00b": "secret",
		"globex/app/1.root.json": "other",
	}}
	url, _ := startHTTP(t, Config{Public: store})
	for _, path := range []string{
		"", "/", "acme", "acme/desktop", "acme/desktop/",
		"acme/desktop/2.root.json",
		"acme%2Fdesktop",
		"acme%2F%2Fdesktop/1.root.json",
		"acme/desktop%2F..%2Fdesktop/1.root.json",
		"acme/desktop%2F.lock",
		"acme/desktop/%2e%2e/desktop/1.root.json",
		"acme/desktop/../desktop/1.root.json",
		"acme/desktop/./1.root.json",
		"acme/desktop/%2e/1.root.json",
		"acme/desktop//1.root.json",
		"acme/desktop/1.root.json/",
		"acme/desktop/1.root.json%00",
		"acme/desktop/a%00b",
		"acme/desktop%5C..%5Cx",
		"acme/desktop/.lock",
		"acme/desktop/%2Elock",
		"acme/.git/config",
		"acme/desktop/targets/..%2F..%2F..%2Fetc%2Fpasswd",
		"..%2f..%2fetc/passwd/x",
		"acme/desktop/%252e%252e/x",
		"acme/desktop/%ff",
		strings.Repeat("a/", 1000) + "a",
	} {
		t.Run(path, func(t *testing.T) {
			got := send(t, http.MethodGet, url+publicPrefix+path, nil)
			assert.Equal(t, http.StatusNotFound, got.status)
			assert.Contains(t, []string{noSuchFile, `{"message":"Not found.","error":"no such path"}`}, got.body)
			assert.Equal(t, "no-store", got.header.Get("Cache-Control"))
			assert.Empty(t, got.header.Get("ETag"))
		})
	}
}

func TestNothingIsRedirected(t *testing.T) {
	url, _ := startHTTP(t, Config{Public: mapStore{}})
	for _, path := range []string{
		"/tuf_metadata", "/tuf_metadata/", "//tuf_metadata", "/tuf_metadata//x", "/tuf", "/tuf/v1/task/", "/./healthz",
		"/healthz/",
		"//evil.example/x",
	} {
		got := send(t, http.MethodGet, url+path+"?token=hush", nil)
		assert.Equal(t, http.StatusNotFound, got.status, path)
		assert.Empty(t, got.header.Get("Location"), path)
		assert.NotContains(t, got.body, "hush", path)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	store := mapStore{failures: map[string]error{
		"acme/desktop/1.root.json":    errors.New("dial tcp 10.1.2.3:443: hush"),
		"acme/desktop/timestamp.json": storage.ErrTooLarge,
	}}
	url, log := startHTTP(t, Config{Public: store})

	got := send(t, http.MethodGet, url+publicPrefix+"acme/desktop/1.root.json", nil)
	assert.Equal(t, http.StatusServiceUnavailable, got.status)
	assert.Equal(t, `{"message":"File not available.","error":"temporarily not available, try again later"}`, got.body)
	assert.Equal(t, "no-store", got.header.Get("Cache-Control"))
	assert.Equal(t, "5", got.header.Get("Retry-After"))
	assert.Contains(t, log.String(), "hush")

	got = send(t, http.MethodGet, url+publicPrefix+"acme/desktop/timestamp.json", nil)
	assert.Equal(t, http.StatusInternalServerError, got.status)
	assert.Equal(t, `{"message":"File not available.","error":"file is too large"}`, got.body)
}

func TestFilesAreOnlyRead(t *testing.T) {
	url, _ := startHTTP(t, Config{Public: mapStore{objects: map[string]string{"acme/desktop/1.root.json": "root"}}})
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch} {
		got := send(t, method, url+publicPrefix+"acme/desktop/1.root.json", nil)
		assert.Equal(t, http.StatusMethodNotAllowed, got.status, method)
		require.Equal(t, "GET, HEAD", got.header.Get("Allow"), method)
	}
}
