package refserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// publicPrefix is where TUF clients find the store's files: <publicPrefix><owner>/<app>/<file>.
const publicPrefix = "/tuf_metadata/"

// publicFile serves a file of the store.
func (s *Server) publicFile(w *response, r *http.Request) error {
	notFound := &refusal{status: http.StatusNotFound, why: "no such file"}
	key, ok := publicKey(r.URL.EscapedPath())
	if !ok {
		return notFound
	}
	data, release, err := s.public.open(r.Context(), key)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrInvalidKey) {
		return notFound
	}
	if err != nil {
		return err
	}
	defer release()
	sum := sha256.Sum256(data)
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Content-Type", storage.ContentType(key))
	if neverChanges(key) {
		h.Set("Cache-Control", storage.CacheImmutable)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// publicKey returns the store's key for a path as it came in the request. Role names may need
// quoting, and a quoted slash is one like any other, as it is to S3. A segment that begins with a
// dot is no file of a repository; owner and app are no files either.
func publicKey(escapedPath string) (key string, ok bool) {
	key, err := url.PathUnescape(strings.TrimPrefix(escapedPath, publicPrefix))
	if err != nil || strings.Count(key, "/") < 2 || strings.HasPrefix(key, ".") || strings.Contains(key, "/.") {
		return "", false
	}
	return key, storage.CheckKey(key) == nil
}

var (
	versionedName = regexp.MustCompile(`^[1-9][0-9]*\..+\.json$`)
	hashedName    = regexp.MustCompile(`^([0-9a-f]{64}|[0-9a-f]{128})\..+$`)
)

// neverChanges reports whether the name of a file is bound to its content: metadata by its version,
// targets by their hash. Targets without a hash in their name, as in a repository without
// consistent snapshots, may be replaced.
func neverChanges(key string) bool {
	segments := strings.Split(key, "/")
	last := len(segments) - 1
	if slices.Contains(segments[2:last], "targets") {
		return hashedName.MatchString(segments[last])
	}
	return versionedName.MatchString(segments[last])
}
