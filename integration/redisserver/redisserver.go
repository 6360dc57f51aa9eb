// Package redisserver gives tests a real Redis: one that it starts, or the one that
// TUF_TEST_REDIS_URL names.
package redisserver

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/daemon"
)

// A Server is a Redis that belongs to one test, and can be away for a while.
type Server struct {
	program string
	address string
	process *daemon.Process
}

// Start returns a client of a Redis, and its URL. The server ends with the test.
//
// TUF_TEST_REDIS_URL names another one instead, in which tests leave what they write. The test is
// skipped if Redis cannot be started, but fails if TUF_TEST_REQUIRE is set.
func Start(t testing.TB) (client *redis.Client, url string) {
	t.Helper()
	url = os.Getenv("TUF_TEST_REDIS_URL")
	if url == "" {
		url = StartServer(t).URL()
	}
	return Connect(t, url), url
}

// Connect returns a client.
func Connect(t testing.TB, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return client
}

// StartServer starts a server of this test's own, whatever TUF_TEST_REDIS_URL says. It is skipped
// as Start is.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s, err := newServer(t)
	if err == nil {
		err = s.Start(t)
	}
	daemon.Need(t, "Redis", err)
	return s
}

func newServer(t testing.TB) (s *Server, err error) {
	s = &Server{}
	if s.program, err = exec.LookPath("redis-server"); err != nil {
		return nil, errors.Join(err, errors.New("the package redis-server is not installed"))
	}
	s.address, err = daemon.FreeAddress(t.Context())
	return s, err
}

// URL returns the server's URL.
func (s *Server) URL() string { return "redis://" + s.address + "/0" }

// Stop stops the server, and all that it holds is lost.
func (s *Server) Stop() { s.process.Stop() }

// Start starts the server again, at the same address.
func (s *Server) Start(t testing.TB) error {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(t.Context(), s.program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	cmd.Dir = t.TempDir()
	client := Connect(t, s.URL())
	s.process, err = daemon.Start(t, cmd, 0, func(ctx context.Context) error { return client.Ping(ctx).Err() })
	return err
}
