package integration_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/daemon"
	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/integration/s3server"
)

// A gate takes connections to a server and forwards nothing while it is shut. It breaks off all
// connections when it opens or shuts.
type gate struct {
	to      string
	address string

	mu    sync.Mutex
	open  bool
	conns []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{to: to, address: listener.Addr().String()}
	t.Cleanup(func() {
		_ = listener.Close()
		g.set(false)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			g.take(t.Context(), conn)
		}
	}()
	return g
}

// set opens the gate, or shuts it.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	g.conns = nil
}

func (g *gate) take(ctx context.Context, conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, conn)
	if !g.open {
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", g.to)
	if err != nil {
		_ = conn.Close()
		return
	}
	g.conns = append(g.conns, server)
	for _, pair := range [][2]net.Conn{{server, conn}, {conn, server}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = pair[0].Close()
		}()
	}
}

// A start against a store and a database that take connections and say nothing waits for them. Each
// of three starts in a row serves once they answer, and ends when it is told to.
func TestServersThatStartBeforeTheirStoreAndDatabaseAnswer(t *testing.T) {
	program, dir := buildServer(t), t.TempDir()
	place := s3server.Start(t).Place()
	query := place.Query()
	behind, err := url.Parse(query.Get("endpoint"))
	require.NoError(t, err)
	if behind.Scheme != "http" {
		t.Skip("NOT TESTED: a start before the store answers, since no gate fits before TUF_TEST_S3_URL")
	}
	database, err := url.Parse(pgserver.Start(t))
	require.NoError(t, err)
	store, tasks := newGate(t, behind.Host), newGate(t, database.Host)
	query.Set("endpoint", "http://"+store.address)
	place.RawQuery = query.Encode()
	database.Host = tasks.address
	database.RawQuery += "&connect_timeout=1"
	address, err := daemon.FreeAddress(t.Context())
	require.NoError(t, err)

	for range 3 {
		store.set(false)
		tasks.set(false)
		var log bytes.Buffer
		server := exec.CommandContext(t.Context(), program, "-demo", "-listen", address, "-store", place.String(), "-tasks",
			database.String())
		server.Dir, server.Stderr = dir, &log
		require.NoError(t, server.Start())
		readiness := func() (status int, body string) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return 0, ""
			}
			defer response.Body.Close()
			data, _ := io.ReadAll(response.Body)
			return response.StatusCode, string(data)
		}
		becomes := func(why string, want func(status int, body string) bool) {
			t.Helper()
			require.Eventually(t, func() bool { return want(readiness()) }, 2*patience, 20*time.Millisecond, why)
		}
		becomes("it waits for both", func(status int, body string) bool {
			return status == http.StatusServiceUnavailable && strings.Contains(body, "store") &&
				strings.Contains(body, "task store") && strings.Contains(body, " and ")
		})
		time.Sleep(2 * time.Second) // longer than a connection to the database may take
		tasks.set(true)
		becomes("it waits for the store", func(_ int, body string) bool {
			return strings.Contains(body, `"waiting for store"`)
		})
		store.set(true)
		becomes("it is ready", func(status int, _ string) bool { return status == http.StatusOK })

		require.NoError(t, server.Process.Signal(syscall.SIGTERM))
		require.NoError(t, server.Wait(), "%s", &log)
		assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg=waiting for="task store"`), "%s", &log)
		assert.Equal(t, 1, strings.Count(log.String(), `msg="waiting is over" for="task store"`), "%s", &log)
	}
}
