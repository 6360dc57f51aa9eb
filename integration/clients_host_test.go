package integration_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A host serves a repository over HTTP as a static host does that knows nothing of TUF, and rolls
// it.
type host struct {
	repo    *testrepo.Repo
	keys    *keys.Memory
	updater *tufupdate.Updater
	choices [][]string // of roles, to be rolled in turn
	rolls   atomic.Int64
	url     string // of the metadata, without a slash at the end

	busy     atomic.Bool // a roll comes before every second request
	requests atomic.Int64
}

// newHost makes a repository and serves it. Besides the top-level roles, rolls sign the roles
// named, each by itself: delegated roles, or the prefix of bins.
func newHost(t *testing.T, options testrepo.Options, roles ...string) *host {
	t.Helper()
	h := &host{
		repo:    testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options),
		keys:    keys.NewMemory(),
		choices: [][]string{nil, {metadata.TIMESTAMP}, {metadata.SNAPSHOT}, {metadata.TARGETS}},
	}
	for _, role := range roles {
		h.choices = append(h.choices, []string{role})
	}
	h.addKeys(t)
	var err error
	h.updater, err = tufupdate.New(tufupdate.Config{
		Store:  h.repo.Store,
		Keys:   h.keys,
		Roots:  tufupdate.PinnedRoot(h.repo.Root),
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.requests.Add(1)%2 == 0 && h.busy.Load() {
			h.roll(t)
		}
		h.serve(t, w, r)
	}))
	t.Cleanup(served.Close)
	h.url = served.URL + "/" + h.repo.App
	return h
}

// addKeys gives the updater the keys that the repository has now, with the signers of this project:
// they too are for clients to judge.
func (h *host) addKeys(t *testing.T) {
	t.Helper()
	for role, held := range h.repo.Keys {
		if role == metadata.ROOT {
			continue
		}
		for _, k := range held {
			signer, err := keys.NewSigner(k.Private, k.Public.Scheme)
			require.NoError(t, err)
			h.keys.Add(h.repo.App, k.ID, signer)
		}
	}
}

// roll rolls the next choice of roles.
func (h *host) roll(t *testing.T) {
	n := int(h.rolls.Add(1)) - 1
	choice := h.choices[n%len(h.choices)]
	result, err := h.updater.Roll(t.Context(), h.repo.App, choice)
	assert.NoError(t, err, "roll %d, of %v", n, choice)
	for _, warning := range result.Warnings { // after a rotation another document takes a place
		assert.Contains(t, warning, "a new one takes its place", "roll %d, of %v", n, choice)
	}
}

// serve answers with the object whose key is the path of the URL, unquoted once.
func (h *host) serve(t *testing.T, w http.ResponseWriter, r *http.Request) {
	object, err := h.repo.Store.Get(r.Context(), strings.TrimPrefix(r.URL.Path, "/"))
	if errors.Is(err, storage.ErrNotFound) {
		http.NotFound(w, r)
		return
	}
	assert.NoError(t, err, r.URL)
	_, err = w.Write(object.Data)
	assert.NoError(t, err, r.URL)
}

// published returns the versions of all that the timestamp leads to.
func (h *host) published(t *testing.T) map[string]int64 {
	t.Helper()
	timestamp, err := metadata.Timestamp().FromBytes(h.repo.Read(t, h.repo.File(metadata.TIMESTAMP, 0)))
	require.NoError(t, err)
	version := timestamp.Signed.Meta["snapshot.json"].Version
	snapshot, err := metadata.Snapshot().FromBytes(h.repo.Read(t, h.repo.File(metadata.SNAPSHOT, version)))
	require.NoError(t, err)
	versions := map[string]int64{metadata.TIMESTAMP: timestamp.Signed.Version, metadata.SNAPSHOT: version}
	for name, file := range snapshot.Signed.Meta {
		versions[strings.TrimSuffix(name, ".json")] = file.Version
	}
	return versions
}
