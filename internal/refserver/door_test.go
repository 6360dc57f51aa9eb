package refserver

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dialSilent makes n connections that send nothing. For each it returns a channel, which is closed
// when the server hangs up.
func dialSilent(t *testing.T, l *pipeListener, n int) (gone []chan struct{}) {
	t.Helper()
	for range n {
		conn, err := l.dial()
		require.NoError(t, err)
		closed := make(chan struct{})
		gone = append(gone, closed)
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			close(closed)
		}()
	}
	return gone
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := slowServer(t)
		listener, stop, done := serve(t, s)
		early := askToForce(t, listener)
		synctest.Wait()

		const over = 100
		start := time.Now()
		silent := dialSilent(t, listener, maxConnections+over)
		synctest.Wait()
		for i, gone := range silent {
			require.Equal(t, i <= over, isClosed(gone), "the oldest go first, and no more than necessary: %d", i)
		}

		late, err := listener.dial()
		require.NoError(t, err)
		_, err = io.WriteString(late, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		status, _, _ := readAnswer(t, late)
		assert.Equal(t, http.StatusOK, status, "a newcomer is answered")

		close(release)
		status, _, _ = readAnswer(t, early)
		assert.Equal(t, http.StatusOK, status, "so is who was there before")
		require.Zero(t, time.Since(start), "no client had to wait")

		for _, gone := range silent {
			<-gone
		}
		assert.LessOrEqual(t, time.Since(start), readHeaderTimeout+time.Second, "all the others go when their time is over")
		early.Close()
		late.Close()
		stop()
		require.NoError(t, <-done)
	})
}

// A fakeConn records whether it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

func TestOverTheLimitTheLongestWaitingConnectionGoes(t *testing.T) {
	type step struct {
		conn  int
		state http.ConnState
		goes  int // 0 for none
	}
	const none = 0
	enter := func(conn, goes int) step { return step{conn, http.StateNew, goes} }
	ask := func(conn int) step { return step{conn, http.StateActive, none} }
	idle := func(conn int) step { return step{conn, http.StateIdle, none} }
	leave := func(conn int) step { return step{conn, http.StateClosed, none} }

	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"none goes while there is room", []step{enter(1, none), enter(2, none), enter(3, none)}},
		{"the longest waiting connection goes", []step{enter(1, 0), enter(2, 0), enter(3, 0), enter(4, 1), enter(5, 2)}},
		{"a connection with a request stays", []step{enter(1, 0), ask(1), enter(2, 0), enter(3, 0), enter(4, 2)}},
		{
			"a connection waits from its last answer on",
			[]step{enter(1, 0), ask(1), enter(2, 0), enter(3, 0), idle(1), enter(4, 2), enter(5, 3), enter(6, 1)},
		},
		{
			"of connections with requests the oldest request's goes",
			[]step{enter(1, 0), enter(2, 0), enter(3, 0), ask(2), ask(1), ask(3), enter(4, 2)},
		},
		{"none goes after one has left", []step{enter(1, 0), enter(2, 0), enter(3, 0), leave(2), enter(4, 0), enter(5, 1)}},
		{
			"a closed connection does not come back",
			[]step{enter(1, 0), enter(2, 0), enter(3, 0), enter(4, 1), ask(1), idle(1), leave(1), enter(5, 2)},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDoor(3)
			conns := map[int]*fakeConn{}
			closed := map[int]bool{}
			for i, s := range tc.steps {
				if conns[s.conn] == nil {
					conns[s.conn] = &fakeConn{}
				}
				d.changed(conns[s.conn], s.state)
				if s.goes != none {
					closed[s.goes] = true
				}
				for n, conn := range conns {
					require.Equal(t, closed[n], conn.closed, "connection %d after step %d", n, i)
				}
				require.Equal(t, len(d.places), d.waiting.Len()+d.busy.Len())
				require.LessOrEqual(t, len(d.places), 3)
			}
		})
	}
}
