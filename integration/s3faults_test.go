package integration_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A wireFault is what happens to one HTTP request of a roll on its way to the S3 server and back.
type wireFault struct {
	do       func(w http.ResponseWriter, r *http.Request, pass http.Handler)
	endsRoll bool // no try again can help, if the request is needed
}

var wireFaults = map[string]wireFault{
	"answers 409": {do: func(w http.ResponseWriter, _ *http.Request,
		_ http.Handler) {
		w.WriteHeader(http.StatusConflict)
	}},
	"answers 503": {do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	"answers 503 although it landed": {do: func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusServiceUnavailable)
	}},
	"is cut off before it lands": {do: func(http.ResponseWriter, *http.Request,
		http.Handler) {
		panic(http.ErrAbortHandler)
	}},
	"is cut off after it landed": {do: func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}},
	"gets no answer": {endsRoll: true, do: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has left
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}},
}

// Each HTTP request of a roll × each fault: a roll whose request fails once succeeds all the same,
// unless its time is up; and whatever it did, a client from before and a new one go on, and the
// next roll succeeds. Which requests there are is found out by making them.
func TestNoFaultOnTheWayToS3BreaksARepository(t *testing.T) {
	server := s3server.Start(t)
	needProxy(t, server)
	whole := newWireTest(t, server)
	_, err := whole.roll(t, patience, noFault)
	require.NoError(t, err)
	requests := whole.number.Load()
	require.Greater(t, requests, int64(5))
	var tried atomic.Int64
	t.Run("faults", func(t *testing.T) {
		for name, fault := range wireFaults {
			for n := int64(1); n <= requests; n++ {
				t.Run(fmt.Sprintf("request %d %s", n, name), func(t *testing.T) {
					t.Parallel()
					newWireTest(t, server).fail(t, n, fault)
					tried.Add(1)
				})
			}
		}
	})
	t.Logf("%d faults of %d HTTP requests on the way to S3", tried.Load(), requests)
}

// A wireTest is a repository on S3 and a proxy between the server and who rolls it.
type wireTest struct {
	repo   *testrepo.Repo
	client *testrepo.Client // that has seen the repository
	place  string           // URL, through the proxy
	number atomic.Int64     // of requests through the proxy
	fault  atomic.Pointer[func(n int64) *wireFault]
}

func newWireTest(t *testing.T, server *s3server.Server) *wireTest {
	w := &wireTest{}
	place := server.Place()
	w.repo = testrepo.New(t, open(t, place.String()), testrepo.Options{
		Hashes: true, Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}, Target: "team/file"}},
	})
	w.client = testrepo.NewClient(t, w.repo.Store, w.repo.App, w.repo.Root, true)
	require.NoError(t, w.client.Refresh())

	w.place = throughProxy(t, place, func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
		if fault := (*w.fault.Load())(w.number.Add(1)); fault != nil {
			fault.do(rw, r, pass)
			return
		}
		pass.ServeHTTP(rw, r)
	})
	return w
}

// throughProxy starts a proxy before the S3 server of a place, and returns the place's URL through
// it. do decides what happens to each request. Its pass hands a request on to the server.
func throughProxy(t *testing.T, place *url.URL,
	do func(w http.ResponseWriter, r *http.Request, pass http.Handler)) (through string) {
	t.Helper()
	query := place.Query()
	behind, err := url.Parse(query.Get("endpoint"))
	require.NoError(t, err)
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // it is part of what the client has signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { do(w, r, pass) }))
	t.Cleanup(proxy.Close)
	query.Set("endpoint", proxy.URL)
	before := *place
	before.RawQuery = query.Encode()
	return before.String()
}

// needProxy skips the test if no proxy can stand before the S3 server.
func needProxy(t *testing.T, server *s3server.Server) {
	t.Helper()
	if server.Place().Query().Get("endpoint") == "" {
		t.Skip("NOT TESTED: faults on the way to S3, since TUF_TEST_S3_URL has no endpoint that a proxy could stand before")
	}
}

// roll rolls through the proxy. fault returns what happens to a request by its number, nil for
// nothing.
func (w *wireTest) roll(t *testing.T, timeout time.Duration, fault func(n int64) *wireFault) (tasks.Result, error) {
	w.number.Store(0)
	w.fault.Store(&fault)
	u, err := tufupdate.New(tufupdate.Config{
		Store:       open(t, w.place),
		Keys:        w.repo.Provider(t),
		Roots:       tufupdate.PinnedRoot(w.repo.Root),
		RollTimeout: timeout,
		Logger:      slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return u.Roll(t.Context(), w.repo.App, []string{metadata.TARGETS, "team"})
}

func noFault(int64) *wireFault { return nil }

// fail rolls with a fault of the n-th request, and then without.
func (w *wireTest) fail(t *testing.T, n int64, fault wireFault) {
	timeout := patience
	if fault.endsRoll {
		timeout = time.Second // all of which the roll takes
	}
	result, err := w.roll(t, timeout, func(number int64) *wireFault {
		if number == n {
			return &fault
		}
		return nil
	})
	if fault.endsRoll && err != nil { // it was not one that was read ahead in vain
		require.ErrorIs(t, err, context.DeadlineExceeded)
	} else {
		require.NoError(t, err)
		w.published(t, result.Versions)
	}
	require.NoError(t, w.client.Refresh(), "a client from before")
	again, err := w.roll(t, patience, noFault)
	require.NoError(t, err, "the next roll")
	for role, version := range result.Versions {
		assert.Greater(t, again.Versions[role], version, role)
	}
	w.published(t, again.Versions)
}

// published requires that a client from before and a new one see these versions.
func (w *wireTest) published(t *testing.T, versions map[string]int64) {
	t.Helper()
	for _, client := range []*testrepo.Client{w.client,
		testrepo.NewClient(t, w.repo.Store, w.repo.App, w.repo.Root, false)} {
		got, err := client.Versions()
		require.NoError(t, err)
		for role, version := range versions {
			assert.Equal(t, version, got[role], role)
		}
	}
}
