package refserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

// A pipeListener accepts connections from the same process. They work in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	}
}

// serve runs s until stop is called. done receives the result.
func serve(t *testing.T, s interface {
	Serve(context.Context, net.Listener) error
}) (l *pipeListener, stop func(), done <-chan error) {
	ctx, cancel := context.WithCancel(t.Context())
	l = newPipeListener()
	result := make(chan error, 1)
	go func() { result <- s.Serve(ctx, l) }()
	return l, cancel, result
}

// slowServer returns a server that answers update requests once release is closed.
func slowServer(t *testing.T) (s *Server, release chan struct{}) {
	release = make(chan struct{})
	s, _ = newServer(t, Config{Updater: &fakeUpdater{force: func(context.Context) (tasks.Task, error) {
		<-release
		return tasks.Task{ID: testTask}, nil
	}}})
	return s, release
}

// askToForce sends an update request over a new connection.
func askToForce(t *testing.T, l *pipeListener) net.Conn {
	conn, err := l.dial()
	require.NoError(t, err)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n", online,
		bearer(t, adminClaims("acme")))
	return conn
}

func readyStatus(t *testing.T, s *Server) (status int, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	return w.Code, w.Body.String()
}

// readAnswer reads one answer and reports whether the server keeps the connection.
func readAnswer(t *testing.T, conn io.Reader) (status int, body string, keeps bool) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data), !resp.Close
}

func TestStoppingLetsRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := slowServer(t)
		listener, stop, done := serve(t, s)
		conn := askToForce(t, listener)
		synctest.Wait()
		status, _ := readyStatus(t, s)
		require.Equal(t, http.StatusOK, status)

		stop()
		synctest.Wait()
		status, body := readyStatus(t, s)
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, `{"message":"Not ready.","error":"server is stopping"}`, body)
		_, err := listener.dial()
		require.Error(t, err, "no more connections are accepted")
		assert.Empty(t, done, "it waits for the request in flight")

		close(release)
		status, body, _ = readAnswer(t, conn)
		assert.Equal(t, http.StatusOK, status)
		assert.Contains(t, body, testTask)
		require.NoError(t, <-done)
	})
}

func TestStoppingWaitsNoLongerThanTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newServer(t, Config{Grace: 3 * time.Second, Updater: &fakeUpdater{
			force: func(ctx context.Context) (tasks.Task, error) {
				<-ctx.Done() // like a store that hangs
				return tasks.Task{}, ctx.Err()
			},
		}})
		listener, stop, done := serve(t, s)
		conn, err := listener.dial()
		require.NoError(t, err)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n", online,
			bearer(t, adminClaims("acme")))
		synctest.Wait()
		start := time.Now()
		stop()
		require.NoError(t, <-done)
		assert.Equal(t, 3*time.Second, time.Since(start))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		assert.Contains(t, log.String(), "cut off")
	})
}

func TestListenerThatFailsEndsServing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	s, _ := newServer(t, Config{})
	require.ErrorIs(t, s.Serve(t.Context(), listener), net.ErrClosed)
}

func TestNobodyHoldsAConnectionForEver(t *testing.T) {
	for _, tc := range []struct {
		name, sent string
		after      time.Duration
		status     int // 0 if the connection is closed without an answer
	}{
		{"nothing is sent", "", readHeaderTimeout, 0},
		{"headers never end", "GET /healthz HTTP/1.1\r\nHost: x\r\n", readHeaderTimeout, 0},
		{
			"the body never comes", "POST " + online + " HTTP/1.1\r\nHost: x\r\nAuthorization: TOKEN\r\n" +
				"Content-Length: 9\r\n\r\n", readTimeout, 400,
		},
		{
			"the chunks never end", "POST " + online + " HTTP/1.1\r\nHost: x\r\nAuthorization: TOKEN\r\n" +
				"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", readTimeout, 400,
		},
		{"no second request", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", idleTimeout, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newServer(t, Config{})
				listener, stop, done := serve(t, s)
				conn, err := listener.dial()
				require.NoError(t, err)
				start := time.Now()
				_, err = io.WriteString(conn, strings.ReplaceAll(tc.sent, "TOKEN", bearer(t, adminClaims("acme"))))
				require.NoError(t, err)
				all, err := io.ReadAll(conn)
				require.NoError(t, err)
				// The server waits half a second before it closes a connection with an unread
				// request.
				assert.InDelta(t, tc.after, time.Since(start), float64(time.Second))
				if tc.status == 0 {
					assert.NotContains(t, string(all), "HTTP/1.1 200")
				} else {
					status, _, _ := readAnswer(t, strings.NewReader(string(all)))
					assert.Equal(t, tc.status, status)
				}
				stop()
				require.NoError(t, <-done)
			})
		})
	}
}

func TestUpdaterThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, Config{Updater: &fakeUpdater{force: func(ctx context.Context) (tasks.Task, error) {
			<-ctx.Done()
			return tasks.Task{}, ctx.Err()
		}}})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, online, nil)
		r.Header.Set("Authorization", bearer(t, adminClaims("acme")))
		w := httptest.NewRecorder()
		start := time.Now()
		s.ServeHTTP(w, r)
		assert.Equal(t, handleTimeout, time.Since(start))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	})
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestBodyOfUnknownLengthIsReadToTheLimitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		updater := new(fakeUpdater)
		s, _ := newServer(t, Config{Updater: updater})
		listener, stop, done := serve(t, s)
		conn, err := listener.dial()
		require.NoError(t, err)
		r, err := http.NewRequest(http.MethodPost, "http://x"+online, endless{})
		require.NoError(t, err)
		r.Header.Set("Authorization", bearer(t, adminClaims("acme")))
		r.Header.Set("Content-Type", "application/json")
		go func() { assert.Error(t, r.Write(conn), "the server hangs up") }()
		status, body, keeps := readAnswer(t, conn)
		assert.Equal(t, http.StatusRequestEntityTooLarge, status)
		assert.Equal(t, refused("request body is larger than 64 KiB"), body)
		assert.False(t, keeps)
		assert.Empty(t, updater.calls())
		stop()
		require.NoError(t, <-done)
	})
}

func TestServerNeedsItsParts(t *testing.T) {
	_, err := New(Config{Auth: secretAuth(t)})
	require.ErrorContains(t, err, "no updater")
	_, err = New(Config{Updater: new(fakeUpdater)})
	require.ErrorContains(t, err, "no authenticator")
}
