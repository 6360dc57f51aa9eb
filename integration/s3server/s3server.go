// Package s3server gives tests a place on a real S3 server: a VersityGW that it builds and starts, or the one that TUF_TEST_S3_URL names.
package s3server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	bucket    = "tuf"
	accessKey = "tuf-test"
	secretKey = "tuf-test-secret"
	patience  = 30 * time.Second // with the server's first answer, and with its end
)

// A Server is an S3 server with a bucket.
type Server struct {
	bucket *url.URL
}

// Start starts a server that ends with the test, on Linux even with one that is killed, and sets the environment by which the test, and processes
// that it starts, are let in.
//
// TUF_TEST_S3_URL names another server instead: the URL of a bucket that exists, as storage.Open takes it, with credentials where the AWS
// client looks for them. What tests write there stays there.
//
// The test is skipped if the server cannot be started, but fails if TUF_TEST_REQUIRE is set.
func Start(t *testing.T) *Server {
	t.Helper()
	if other := os.Getenv("TUF_TEST_S3_URL"); other != "" {
		u, err := url.Parse(other)
		require.NoError(t, err, "TUF_TEST_S3_URL")
		return &Server{u}
	}
	address, err := start(t)
	if err != nil && os.Getenv("TUF_TEST_REQUIRE") == "" {
		t.Skipf("NOT TESTED on S3, since VersityGW did not start: %v", err)
	}
	require.NoError(t, err, "start VersityGW")
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	query := url.Values{"endpoint": {"http://" + address}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	return &Server{&url.URL{Scheme: "s3", Host: bucket, RawQuery: query.Encode()}}
}

// Place returns the URL, as storage.Open takes it, of a folder in the bucket that nobody has used yet.
func (s *Server) Place() *url.URL {
	place := *s.bucket
	query := place.Query()
	query.Set("prefix", query.Get("prefix")+rand.Text()+"/")
	place.RawQuery = query.Encode()
	return &place
}

// start builds VersityGW, starts it on a folder of the test, and returns its address once it answers.
func start(t *testing.T) (address string, err error) {
	t.Helper()
	binary, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "versitygw").Output()
	if err != nil {
		return "", fmt.Errorf("build: %w%s", err, stderr(err))
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, bucket), 0o755); err != nil { // a bucket is a folder
		return "", err
	}
	address, err = freeAddress(t.Context())
	if err != nil {
		return "", err
	}

	// The server outlives the test's context, which ends before the test's cleanups, and those may want it.
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(stop)
	cmd := exec.CommandContext(running, strings.TrimSpace(string(binary)), "--port", address, "--health", "/health", "--quiet", "posix", folder)
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + accessKey, "ROOT_SECRET_ACCESS_KEY=" + secretKey}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience // then it is killed
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	endWithParent(cmd)
	alive, ended := context.WithCancelCause(context.WithoutCancel(t.Context()))
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that started the server for the end of the test.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			ended(fmt.Errorf("it ended (%s):\n%s", cmd.ProcessState, &output))
		}
	}()
	if err := <-started; err != nil {
		return "", err
	}
	t.Cleanup(func() {
		stop()
		<-alive.Done()
	})
	return address, answers(alive, "http://"+address+"/health")
}

// answers waits until a GET of url succeeds.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it does not answer"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// freeAddress returns an address on loopback that was free a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// stderr returns what a command that failed has written, on lines of its own.
func stderr(err error) string {
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && len(failed.Stderr) > 0 {
		return "\n" + string(failed.Stderr)
	}
	return ""
}
