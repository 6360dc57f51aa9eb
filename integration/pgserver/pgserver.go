// Package pgserver gives tests a database on a real Postgres: one that it starts, or the one that
// TUF_TEST_POSTGRES_URL names.
package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/daemon"
)

// A Server is a Postgres that belongs to one test, and can be away for a while.
type Server struct {
	bin     string // folder of its programs
	data    string // folder
	address string
	process *daemon.Process
}

// Start returns the URL of a database that nobody has used yet, on a server that ends with the
// test.
//
// TUF_TEST_POSTGRES_URL names another server instead: the URL of a database, as a user who may
// create others. The test is skipped if Postgres cannot be started, but fails if TUF_TEST_REQUIRE
// is set.
func Start(t testing.TB) (databaseURL string) {
	t.Helper()
	other := os.Getenv("TUF_TEST_POSTGRES_URL")
	if other == "" {
		return StartServer(t).URL()
	}
	u, err := url.Parse(other)
	require.NoError(t, err, "TUF_TEST_POSTGRES_URL")
	name := "tuf_test_" + strings.ToLower(rand.Text())
	require.NoError(t, execute(t.Context(), other, "CREATE DATABASE "+name))
	t.Cleanup(func() { // the test's context has ended
		assert.NoError(t, execute(context.WithoutCancel(t.Context()), other, "DROP DATABASE "+name+" WITH (FORCE)"))
	})
	u.Path = "/" + name
	return u.String()
}

// StartServer starts a server of this test's own, whatever TUF_TEST_POSTGRES_URL says. It is
// skipped as Start is.
func StartServer(t testing.TB) *Server {
	t.Helper()
	s, err := newServer(t)
	if err == nil {
		err = s.Start(t)
	}
	daemon.Need(t, "Postgres", err)
	return s
}

// URL returns the URL of the server's database.
func (s *Server) URL() string {
	return "postgres://postgres@" + s.address + "/postgres?sslmode=disable"
}

// Stop stops the server: those who are connected are cut off, and what was committed is kept.
func (s *Server) Stop() { s.process.Stop() }

// Start starts the server again, at the same address.
func (s *Server) Start(t testing.TB) (err error) {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	program := filepath.Join(s.bin, "postgres")
	cmd := exec.CommandContext(t.Context(), program, "-D", s.data, "-h", host, "-p", port, "-k", "", "-c",
		"max_connections=200")
	if cmd.SysProcAttr, err = notRoot(); err != nil {
		return err
	}
	cmd.Dir = s.data
	// SIGINT is what Postgres calls a fast shutdown.
	s.process, err = daemon.Start(t, cmd, syscall.SIGINT,
		func(ctx context.Context) error { return execute(ctx, s.URL(), "SELECT 1") })
	return err
}

// newServer makes the folder of a server.
func newServer(t testing.TB) (*Server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("no initdb in /usr/lib/postgresql: the package postgresql is not installed")
	}
	s := &Server{bin: filepath.Dir(found[len(found)-1])}
	if s.address, err = daemon.FreeAddress(t.Context()); err != nil {
		return nil, err
	}
	// Another user could not enter a folder of the test's.
	if s.data, err = os.MkdirTemp("", "tuf-postgres-"); err != nil { //nolint:usetesting // see above
		return nil, err
	}
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(s.data)) })
	attributes, err := notRoot()
	if err != nil {
		return nil, err
	}
	if who := attributes.Credential; who != nil {
		if err := os.Chown(s.data, int(who.Uid), int(who.Gid)); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.bin, "initdb"), "-D", s.data, "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.data, attributes
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return s, nil
}

// notRoot says to run a process as the user postgres if this one is root's, as whom Postgres
// refuses to run.
func notRoot() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// execute makes a statement on a connection of its own.
func execute(ctx context.Context, databaseURL, statement string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
