package integration_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riverpostgres"
)

// A relay forwards connections to a server until it falls silent. Then it keeps the connections and
// forwards nothing, like a broken network.
type relay struct {
	to     string
	silent chan struct{}
}

// newRelay returns a relay to the server of a database, and the database's URL through it.
func newRelay(t *testing.T, database string) (*relay, string) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	r := &relay{to: u.Host, silent: make(chan struct{})}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go r.carry(t.Context(), conn)
		}
	}()
	u.Host = listener.Addr().String()
	return r, u.String()
}

func (r *relay) carry(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			select {
			case <-r.silent:
				<-ctx.Done()
				return
			default:
			}
			if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil {
				_ = to.Close()
				return
			}
		}
	}
	both.Go(func() { pass(server, conn) })
	both.Go(func() { pass(conn, server) })
	both.Wait()
}

// A database that keeps its connections without answering delays neither the end of a Run nor
// Close. A started task is worked again once the database is reachable.
func TestADatabaseThatFallsSilent(t *testing.T) {
	db := pgserver.Start(t)
	schema := "silent" + uuid.NewString()[:8]
	sql(t, db, "CREATE SCHEMA "+schema)
	db += "&search_path=" + schema
	r, through := newRelay(t, db)
	o := rivertasks.Options{Rescue: 2 * time.Second}
	s, err := riverpostgres.Open(t.Context(), through, o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(ctx context.Context, _ tasks.Task) (tasks.Result, error) {
			close(begun)
			<-r.silent
			return tasks.Result{}, nil // the database never gets it
		})
	}()
	id := uuid.NewString()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme/app", Roles: []string{"timestamp"}}))
	<-begun
	close(r.silent)
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, s.Close())

	s = openTasks(t, db, o)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		done <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil })
	}()
	require.Eventually(t, func() bool {
		task, err := s.Get(t.Context(), id)
		return err == nil && task.State == tasks.StateSuccess
	}, 2*time.Minute, 100*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}
