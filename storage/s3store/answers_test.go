package s3store_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/s3store"
)

// A script makes an S3 misbehave: each PUT or GET takes the next step of its method's, and passes
// when there is none left. It is for one request after the other.
type script struct {
	fake    *fakeS3
	put     []step
	get     []step
	forever step // for PUT, when put is empty
	puts    int
}

// A step answers one request. An error is a connection that broke.
type step func(s *script, w http.ResponseWriter, r *http.Request) error

func (s *script) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	next := pass
	switch r.Method {
	case http.MethodPut:
		s.puts++
		if len(s.put) > 0 {
			next, s.put = s.put[0], s.put[1:]
		} else if s.forever != nil {
			next = s.forever
		}
	case http.MethodGet:
		if len(s.get) > 0 {
			next, s.get = s.get[0], s.get[1:]
		}
	}
	w := httptest.NewRecorder()
	if err := next(s, w, r); err != nil {
		return nil, err
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

func pass(s *script, w http.ResponseWriter, r *http.Request) error {
	s.fake.ServeHTTP(w, r)
	return nil
}

func answer(status int, code string) step {
	return func(_ *script, w http.ResponseWriter, _ *http.Request) error {
		refuse(w, status, code)
		return nil
	}
}

var (
	errBroken  = errors.New("connection reset by peer")
	errUnknown = errors.New("any error that is none of the sentinels")
)

// wordless is a 404 that does not say of what.
func wordless(_ *script, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusNotFound)
	return nil
}

// lost lets a request land and breaks the connection before the answer.
func lost(s *script, _ http.ResponseWriter, r *http.Request) error {
	s.fake.ServeHTTP(httptest.NewRecorder(), r)
	return errBroken
}

// brokenOff breaks the connection before anything lands.
func brokenOff(*script, http.ResponseWriter, *http.Request) error { return errBroken }

// overtaken is a step before which another writer is faster.
func overtaken(then step, data string) step {
	return func(s *script, w http.ResponseWriter, r *http.Request) error {
		if then == nil {
			s.fake.set("key", data)
			return pass(s, w, r)
		}
		err := then(s, w, r)
		s.fake.set("key", data)
		return err
	}
}

func withETag(etag string) step {
	return func(s *script, w http.ResponseWriter, r *http.Request) error {
		inner := httptest.NewRecorder()
		s.fake.ServeHTTP(inner, r)
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		_, err := w.Write(inner.Body.Bytes())
		return err
	}
}

func TestAnswersToWrites(t *testing.T) {
	conflict := answer(http.StatusConflict, "ConditionalRequestConflict")
	refused := answer(http.StatusPreconditionFailed, "PreconditionFailed")
	slowDown := answer(http.StatusServiceUnavailable, "SlowDown")
	forbidden := answer(http.StatusForbidden, "AccessDenied")
	noBucket := answer(http.StatusNotFound, "NoSuchBucket")
	folder := answer(http.StatusConflict, "ExistingObjectIsDirectory")
	belowObject := answer(http.StatusConflict, "ObjectParentIsFile")
	for name, c := range map[string]struct {
		there   string // what the key holds at first, or nothing; "old" is to be replaced
		put     []step
		get     []step
		forever step
		want    error // nil for success
		holds   string
	}{
		"create: it is there":             {there: "other", want: storage.ErrExists, holds: "other"},
		"create: it is there already":     {there: "new", holds: "new"},
		"create: lost answer":             {put: []step{lost}, holds: "new"},
		"create: lost before it landed":   {put: []step{brokenOff}, holds: "new"},
		"create: all answers lost":        {put: []step{lost}, forever: brokenOff, want: errUnknown, holds: "new"},
		"create: service is busy":         {put: []step{slowDown, slowDown}, holds: "new"},
		"create: service stays busy":      {forever: slowDown, want: errUnknown},
		"create: another write under way": {put: []step{conflict, conflict, conflict}, holds: "new"},
		"create: which lands": {put: []step{overtaken(conflict, "other")}, want: storage.ErrExists,
			holds: "other"},
		"create: which lands the same":   {put: []step{overtaken(conflict, "new")}, holds: "new"},
		"create: which lasts":            {forever: conflict, want: errUnknown},
		"create: refused without reason": {put: []step{refused}, holds: "new"},
		"create: reading back fails":     {put: []step{refused}, get: []step{forbidden}, want: errUnknown},
		"create: forbidden":              {forever: forbidden, want: errUnknown},
		"create: no bucket":              {forever: noBucket, want: errUnknown},
		"create: no ETag":                {put: []step{withETag("")}, want: errUnknown, holds: "new"},
		"create: weak ETag":              {put: []step{withETag(`W/"1"`)}, want: errUnknown, holds: "new"},
		"create: a folder":               {forever: folder, want: storage.ErrExists},
		"create: below an object":        {forever: belowObject, want: storage.ErrInvalidKey},
		"replace: a folder":              {there: "old", forever: folder, want: storage.ErrInvalidKey, holds: "old"},
		"replace: below an object":       {there: "old", forever: belowObject, want: storage.ErrInvalidKey, holds: "old"},
		"replace: still the same":        {there: "old", holds: "new"},
		"replace: another was faster": {there: "old", put: []step{overtaken(nil, "other")}, want: storage.ErrConflict,
			holds: "other"},
		"replace: another wrote the same": {there: "old", put: []step{overtaken(nil, "new")}, holds: "new"},
		"replace: lost answer":            {there: "old", put: []step{lost}, holds: "new"},
		"replace: lost, then overtaken": {there: "old", put: []step{overtaken(lost, "newer")}, want: errUnknown,
			holds: "newer"},
		"replace: another write under way": {there: "old", put: []step{conflict, conflict}, holds: "new"},
		"replace: which lands": {there: "old", put: []step{overtaken(conflict, "other")},
			want: storage.ErrConflict, holds: "other"},
		"replace: no such bucket any more": {there: "old", forever: noBucket, want: errUnknown, holds: "old"},
		"replace: no ETag read back": {there: "old", put: []step{refused}, get: []step{withETag("")}, want: errUnknown,
			holds: "old"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeS3()
				var old storage.Version
				if c.there != "" {
					old = storage.Version(fake.set("key", c.there))
				}
				s := newStore(t, "http://s3", &script{fake: fake, put: c.put, get: c.get, forever: c.forever}, s3store.Options{})
				write := func() (storage.Version, error) {
					if c.there == "old" {
						return s.Replace(t.Context(), "key", old, []byte("new"))
					}
					return s.Create(t.Context(), "key", []byte("new"))
				}
				version, err := write()
				switch {
				case c.want == nil:
					require.NoError(t, err)
					assert.Equal(t, fake.object("key").etag, string(version))
				case errors.Is(c.want, errUnknown):
					requireUnknown(t, err)
				default:
					require.ErrorIs(t, err, c.want)
				}
				assert.Equal(t, c.holds, string(fake.object("key").data))
			})
		})
	}
}

// requireUnknown wants an error that does not say how things are.
func requireUnknown(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for _, sentinel := range []error{storage.ErrNotFound, storage.ErrExists, storage.ErrConflict, storage.ErrTooLarge} {
		require.NotErrorIs(t, err, sentinel)
	}
}

func TestReplacingWhatIsMissingIsAConflict(t *testing.T) {
	for name, put := range map[string]step{"404, as of Amazon": pass,
		"412, as of others": answer(412, "PreconditionFailed")} {
		t.Run(name, func(t *testing.T) {
			fake := newFakeS3()
			s := newStore(t, "http://s3", &script{fake: fake, put: []step{put}}, s3store.Options{})
			_, err := s.Replace(t.Context(), "key", `"etag"`, []byte("new"))
			require.ErrorIs(t, err, storage.ErrConflict)
			assert.Empty(t, fake.object("key").data)
		})
	}
}

func TestOnlyStrongETagsAreSent(t *testing.T) {
	for _, old := range []storage.Version{"*", `W/"etag"`, "etag", `"`, `""`, `"one", "two"`, `"etag`} {
		s := &script{fake: newFakeS3()}
		s.fake.set("key", "old")
		_, err := newStore(t, "http://s3", s, s3store.Options{}).Replace(t.Context(), "key", old, []byte("new"))
		requireUnknown(t, err)
		assert.Zero(t, s.puts, "requests for version %q", old)
	}
}

func TestOnlyAProvenAnswerMeansNotFound(t *testing.T) {
	for name, c := range map[string]struct {
		get   step
		there bool
		want  error
	}{
		"no such key":       {get: pass, want: storage.ErrNotFound},
		"no such bucket":    {get: answer(404, "NoSuchBucket"), want: errUnknown},
		"404 without words": {get: wordless, want: errUnknown},
		"404 of a proxy":    {get: answer(404, "Oops"), want: errUnknown},
		"forbidden":         {get: answer(403, "AccessDenied"), want: errUnknown},
		"no ETag":           {get: withETag(""), there: true, want: errUnknown},
		"weak ETag":         {get: withETag(`W/"1"`), there: true, want: errUnknown},
		"busy, then there":  {get: answer(503, "SlowDown"), there: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeS3()
				if c.there {
					fake.set("key", "data")
				}
				s := newStore(t, "http://s3", &script{fake: fake, get: []step{c.get}}, s3store.Options{})
				_, err := s.Get(t.Context(), "key")
				if errors.Is(c.want, errUnknown) {
					requireUnknown(t, err)
				} else {
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
}

func TestWaitingForAnotherWriteEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conflict := answer(http.StatusConflict, "ConditionalRequestConflict")
		s := newStore(t, "http://s3", &script{fake: newFakeS3(), forever: conflict}, s3store.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := s.Create(ctx, "key", []byte("new"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 120*time.Millisecond, time.Since(start))
	})
}

// TestCutConnection loses answers on a real connection.
func TestCutConnection(t *testing.T) {
	fake := newFakeS3()
	var cut atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && cut.CompareAndSwap(true, false) {
			fake.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	s := newStore(t, server.URL, server.Client(), s3store.Options{})

	cut.Store(true)
	first, err := s.Replace(t.Context(), "key", storage.Absent, []byte("1"))
	require.NoError(t, err)
	cut.Store(true)
	second, err := s.Replace(t.Context(), "key", first, []byte("2"))
	require.NoError(t, err)
	assert.Equal(t, fake.object("key").etag, string(second))
}

// TestReadingKeepsToTheLimit has a server that would send without end, and one that sends less than
// it said.
func TestReadingKeepsToTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"a length over the limit": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1001")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, storage.ErrTooLarge},
		"no length, and no end": {func(w http.ResponseWriter, r *http.Request) {
			for chunk := []byte(strings.Repeat("x", 999)); r.Context().Err() == nil; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, storage.ErrTooLarge},
		"less than its length": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("short"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, errUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"etag"`)
				c.serve(w, r)
			}))
			defer server.Close()
			_, err := newStore(t, server.URL, server.Client(), s3store.Options{Limit: 1000}).Get(t.Context(), "key")
			if errors.Is(c.want, errUnknown) {
				requireUnknown(t, err)
			} else {
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}
