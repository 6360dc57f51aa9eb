package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// releasesOnS3 are the timestamps that S3 has accepted from the fleet.
type releasesOnS3 struct {
	fleet *fleet

	mu         sync.Mutex
	timestamps map[string]map[int64][]byte // by app and version
	wrong      []string
}

// seen returns a handler that passes requests on, each of them whole, and keeps the timestamps that
// were accepted. A client that has left does not end its request: only so is it known whether the
// request landed.
func (s *releasesOnS3) seen(pass http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		whole := r.Clone(context.WithoutCancel(r.Context()))
		whole.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, whole)
		if r.Method == http.MethodPut && answer.Code == http.StatusOK {
			s.add(r.URL.Path, body)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client may have left
	})
}

func (s *releasesOnS3) add(path string, data []byte) {
	for _, repo := range s.fleet.repos {
		if !strings.HasSuffix(path, "/"+repo.App+"/timestamp.json") {
			continue
		}
		version, err := versionOf(data)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timestamps[repo.App] == nil {
			s.timestamps[repo.App] = map[int64][]byte{}
		}
		before, ok := s.timestamps[repo.App][version]
		if err != nil || ok && !bytes.Equal(before, data) {
			s.wrong = append(s.wrong, fmt.Sprintf("%s: S3 has accepted %q (%v), and before %q", path, data, err, before))
		}
		s.timestamps[repo.App][version] = data
	}
}

// wrongIn returns what is wrong with versions that are said to be one release of an app.
func (s *releasesOnS3) wrongIn(app string, versions map[string]int64) (wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.timestamps[app][versions[metadata.TIMESTAMP]]
	if data == nil {
		return []string{fmt.Sprintf("timestamp version %d was never published", versions[metadata.TIMESTAMP])}
	}
	timestamp, err := metadata.Timestamp().FromBytes(data)
	if err != nil {
		return []string{err.Error()}
	}
	snapshot, named := versions[metadata.SNAPSHOT]
	if listed := timestamp.Signed.Meta["snapshot.json"].Version; named && snapshot != listed {
		wrong = append(wrong, fmt.Sprintf("timestamp version %d was published with snapshot version %d, not %d",
			timestamp.Signed.Version, listed, snapshot))
	}
	return wrong
}

// check checks that the timestamps verify, and that they are all that there were: without that,
// wrongIn would be wrong itself.
func (s *releasesOnS3) check(t *testing.T, repo *testrepo.Repo, w *watch) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.wrong)
	root, err := metadata.Root().FromBytes(repo.Root)
	require.NoError(t, err)
	published := s.timestamps[repo.App]
	for version, data := range published {
		timestamp, err := metadata.Timestamp().FromBytes(data)
		require.NoError(t, err)
		assert.NoError(t, root.VerifyDelegate(metadata.TIMESTAMP, timestamp), "%s, timestamp version %d", repo.App, version)
	}
	for _, o := range w.record.Observations {
		if o.App == repo.App && o.Problem == "" && o.Timestamp > 1 {
			assert.Contains(t, published, o.Timestamp, "%s: a timestamp that was seen came another way", repo.App)
		}
	}
	if assert.NotEmpty(t, published) {
		last := slices.Max(slices.Collect(maps.Keys(published)))
		assert.Equal(t, string(published[last]), string(repo.Read(t, repo.File(metadata.TIMESTAMP, 0))), repo.App)
	}
}

func (s *releasesOnS3) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, versions := range s.timestamps {
		n += len(versions)
	}
	return n
}
