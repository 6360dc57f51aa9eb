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

// publicKey returns the store's key for the escaped path of a request. An escaped slash counts as a
// slash, as it does on S3. No file of a repository has a segment that begins with a dot, or lies
// above an app's folder.
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

// neverChanges reports whether a file's name is bound to its content. The name of metadata holds
// its version, and that of a target its hash. Without consistent snapshots names lack these, and
// the files may be replaced.
func neverChanges(key string) bool {
	segments := strings.Split(key, "/")
	last := len(segments) - 1
	if slices.Contains(segments[2:last], "targets") {
		return hashedName.MatchString(segments[last])
	}
	return versionedName.MatchString(segments[last])
}
