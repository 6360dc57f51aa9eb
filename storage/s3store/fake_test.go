package s3store_test

import (
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// fakeS3 is as much of S3 as the store uses: one bucket called "bucket", addressed by path, with
// conditional writes.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]fakeObject
	ahead   *time.Duration // how far the clock is ahead that answers bear the time of; nil: they bear none
}

type fakeObject struct {
	data   []byte
	etag   string
	header http.Header // of the request that wrote it
}

func newFakeS3() *fakeS3 { return &fakeS3{objects: make(map[string]fakeObject)} }

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead != nil {
		w.Header().Set("Date", time.Now().Add(*f.ahead).UTC().Format(http.TimeFormat))
	}
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "IncompleteBody")
	case bucket != "bucket":
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case key == "":
		f.list(w, r.URL.Query().Get("prefix"), r.URL.Query().Get("continuation-token"))
	case r.Method == http.MethodGet:
		f.get(w, key)
	case r.Method == http.MethodPut:
		f.put(w, key, r.Header, body)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func (f *fakeS3) get(w http.ResponseWriter, key string) {
	o, ok := f.objects[key]
	if !ok {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("ETag", o.etag)
	w.Header().Set("Content-Length", fmt.Sprint(len(o.data)))
	_, _ = w.Write(o.data)
}

func (f *fakeS3) put(w http.ResponseWriter, key string, header http.Header, data []byte) {
	o, exists := f.objects[key]
	match := header.Get("If-Match")
	switch {
	case header.Get("If-None-Match") == "*" && exists, match != "" && exists && match != o.etag:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
	case match != "" && !exists:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		o = fakeObject{data: data, etag: fmt.Sprintf(`"%x"`, md5.Sum(data)), header: header.Clone()}
		f.objects[key] = o
		w.Header().Set("ETag", o.etag)
	}
}

// list answers with pages of three.
func (f *fakeS3) list(w http.ResponseWriter, prefix, after string) {
	type object struct{ Key string }
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []object
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
	}
	var keys []string
	for key := range f.objects {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) > 3 {
		keys = keys[:3]
		page.IsTruncated, page.NextContinuationToken = true, keys[2]
	}
	for _, key := range keys {
		page.Contents = append(page.Contents, object{key})
	}
	_ = xml.NewEncoder(w).Encode(page)
}

// object returns what the fake holds, for tests to look at.
func (f *fakeS3) object(key string) fakeObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[key]
}

// set puts an object in place without S3.
func (f *fakeS3) set(key, data string) (etag string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	etag = fmt.Sprintf(`"%x"`, md5.Sum([]byte(data)))
	f.objects[key] = fakeObject{data: []byte(data), etag: etag}
	return etag
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}
