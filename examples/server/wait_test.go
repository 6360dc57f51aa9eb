package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// errRefused is what a client of the network gets where nobody listens.
func errRefused() error { return &net.OpError{Op: "dial", Err: errors.New("connection refused")} }

// A waited is what a start has come to that waited as the server does.
type waited struct {
	err   error
	took  time.Duration
	tries int
	log   string
}

// wait has open called as a start calls it, with the time since the beginning.
func wait(ctx context.Context, open func(ctx context.Context, since time.Duration) error) (w waited) {
	var log bytes.Buffer
	began := time.Now()
	_, w.err = until(ctx, patientWait(), refserver.NewStarting(nil), slog.New(slog.NewTextHandler(&log, nil)), storeNoun,
		func(ctx context.Context) (struct{}, error) {
			w.tries++
			return struct{}{}, open(ctx, time.Since(began))
		})
	w.took, w.log = time.Since(began), log.String()
	return w
}

func TestThreeStartsInARowWaitForAStoreThatAnswersAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 3 {
			honest := storage.NewMemory(storage.MemoryOptions{})
			began := time.Now()
			silent := storagetest.NewFlaky(honest, func(storagetest.Call) storagetest.Fault {
				return storagetest.Fault{Hang: time.Since(began) < time.Minute}
			})
			w := wait(t.Context(), func(ctx context.Context, _ time.Duration) error { return probe(ctx, silent) })
			require.NoError(t, w.err)
			assert.Greater(t, w.took, time.Minute)
			assert.Less(t, w.took, 3*time.Minute)
			assert.Equal(t, 1, strings.Count(w.log, "level=WARN"), w.log)
			assert.Contains(t, w.log, `level=WARN msg=waiting for=store error="`)
			assert.Contains(t, w.log, " next=20")
			assert.Equal(t, 1, strings.Count(w.log, `level=INFO msg="waiting is over" for=store waited=`), w.log)
		}
	})
}

func TestPausesGrowToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wait(t.Context(), func(_ context.Context, since time.Duration) error {
			if since < time.Hour {
				return errRefused()
			}
			return nil
		})
		require.NoError(t, w.err)
		assert.Equal(t, 1+6+59, w.tries, "after 1, 2, 4, 8, 16 and 32 seconds, then each minute")
		assert.Less(t, w.took, time.Hour+time.Minute)
	})
}

func TestWhatCannotSucceedIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := fmt.Errorf("opening: %w", fs.ErrNotExist)
		w := wait(t.Context(), func(context.Context, time.Duration) error { return broken })
		require.ErrorIs(t, w.err, broken)
		assert.Zero(t, w.took)
		assert.Empty(t, w.log)

		w = wait(t.Context(), func(_ context.Context, since time.Duration) error {
			if since == 0 {
				return errRefused()
			}
			return broken
		})
		require.ErrorIs(t, w.err, broken)
		assert.Equal(t, 2, w.tries)
	})
}

func TestAStartThatWaitsEndsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, open := range map[string]func(context.Context, time.Duration) error{
			"in a pause": func(context.Context, time.Duration) error { return errRefused() },
			"in a try":   func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return errRefused() },
		} {
			ctx, stop := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Second, stop)
			w := wait(ctx, open)
			require.ErrorIs(t, w.err, context.Canceled, name)
			assert.Equal(t, 10*time.Second, w.took, name)
		}
	})
}

func TestWhatMayPassIsWhatNobodyHereCanMend(t *testing.T) {
	_, refused := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	require.Error(t, refused)
	_, noDatabase := pgconn.Connect(t.Context(), "postgres://u@127.0.0.1:1/x")
	require.Error(t, noDatabase)
	_, noConfig := pgconn.ParseConfig("postgres://u@h/x?sslmode=nope")
	require.Error(t, noConfig)
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"a connection that is refused":           {refused, true},
		"behind an HTTP client":                  {&url.Error{Op: "Get", URL: "http://x", Err: refused}, true},
		"a name that is not known":               {&net.DNSError{Err: "no such host"}, true},
		"a database that is not there":           {noDatabase, true},
		"a database that starts":                 {&pgconn.PgError{Code: "57P03"}, true},
		"a database without room":                {&pgconn.PgError{Code: "53300"}, true},
		"a connection that breaks":               {io.ErrUnexpectedEOF, true},
		"the limit of a try":                     {context.DeadlineExceeded, true},
		"a probe that failed":                    {errProbe, true},
		"a probe that saw a breach":              {errors.Join(errProbe, storage.ErrNoAtomicWrites), false},
		"a breach, and a connection that breaks": {errors.Join(storage.ErrNoAtomicWrites, refused), false},
		"a table that may not be made":           {&pgconn.PgError{Code: "42501"}, false},
		"an error without a code":                {&pgconn.PgError{}, false},
		"a URL that is none":                     {&url.Error{Op: "parse", URL: "x", Err: errors.New("x")}, false},
		"a parameter that is none":               {noConfig, false},
		"a folder that does not exist":           {fs.ErrNotExist, false},
		"a folder that may not be read":          {fs.ErrPermission, false},
		"a memory in the store":                  {errNotApart, false},
		"anything else":                          {errors.New("x"), false},
	} {
		assert.Equal(t, tc.want, mayPass(fmt.Errorf("opening: %w", tc.err)), name)
	}
}

func TestAProbeFailsUnlikeABreach(t *testing.T) {
	down := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(storagetest.Call) storagetest.Fault {
		return storagetest.Fault{Before: errors.New("status 503")}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.True(t, mayPass(probe(ctx, down)))
	liar := overwriting{storage.NewMemory(storage.MemoryOptions{})}
	err := probe(t.Context(), liar)
	require.ErrorContains(t, err, "concurrent writers would overwrite each other")
	assert.False(t, mayPass(err))
}

// overwriting takes every Create for a success.
type overwriting struct{ storage.Store }

func (o overwriting) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	version, err := o.Store.Create(ctx, key, data)
	if errors.Is(err, storage.ErrExists) {
		return "1", nil
	}
	return version, err
}

// silence returns the address of a listener that takes connections and never answers.
func silence(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { _ = conn.Close() })
		}
	}()
	return listener.Addr().String()
}

func TestAServerListensThoughAServiceTakesConnectionsAndNeverAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, flag, value, reason string
	}{
		{"Postgres", "-tasks", "postgres://u:hush@" + silence(t) + "/x", "task store"},
		{"Postgres as the memory", "-memory", "postgres://u:hush@" + silence(t) + "/x", "memory"},
		{"S3", "-store", "s3://b?region=x&anonymous=true&use_path_style=true&endpoint=http://" + silence(t), "store"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, err := parseOptions([]string{"-listen", "127.0.0.1:0", "-store", "mem://", "-keys", t.TempDir(),
				"-trust-first-root", "-serve", "-log-level", "debug", tc.flag, tc.value}, environment, io.Discard)
			require.NoError(t, err)
			o.wait = waitOptions{try: 100 * time.Millisecond, pause: 10 * time.Millisecond, longest: 10 * time.Millisecond}
			log := new(bytes.Buffer)
			address, stop := startUntil(t, "listening", func(ctx context.Context, to io.Writer) error {
				return serve(ctx, o, io.Discard, slog.New(slog.NewTextHandler(io.MultiWriter(log, to), nil)))
			})
			status, _ := call(t, "acme", []byte(testSecret), http.MethodGet, address+"/healthz")
			assert.Equal(t, http.StatusOK, status)
			waits := `{"message":"Not ready.","error":"waiting for ` + tc.reason + `"}`
			assert.Eventually(t, func() bool { // what is there is soon opened
				status, body := call(t, "acme", []byte(testSecret), http.MethodGet, address+"/readyz")
				assert.Equal(t, http.StatusServiceUnavailable, status)
				return body == waits
			}, time.Minute, 5*time.Millisecond)
			status, body := call(t, "acme", []byte(testSecret), http.MethodPost,
				address+"/tuf/v1/metadata/online?appName=acme/desktop")
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.Equal(t, `{"message":"Not available.","error":"server is starting"}`, body)
			require.NoError(t, stop())
			assert.NotContains(t, log.String(), "level=ERROR")
			assert.NotContains(t, log.String(), "hush")
			assert.Contains(t, log.String(), "stopped before it was ready")
		})
	}
}
