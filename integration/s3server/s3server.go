// Package s3server gives tests a place on a real S3 server: a VersityGW that it builds and starts,
// or the one that TUF_TEST_S3_URL names.
package s3server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/daemon"
)

const (
	bucket    = "tuf"
	accessKey = "tuf-test"
	secretKey = "tuf-test-secret"
)

// A Server is an S3 server with a bucket.
type Server struct {
	bucket *url.URL
}

// Start starts a server that ends with the test, on Linux even with one that is killed, and sets
// the environment by which the test, and processes that it starts, are let in.
//
// TUF_TEST_S3_URL names another server instead: the URL of a bucket that exists, as storage.Open
// takes it, with credentials where the AWS client looks for them. What tests write there stays
// there.
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
	daemon.Need(t, "VersityGW", err)
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	query := url.Values{"endpoint": {"http://" + address}, "region": {"us-east-1"}, "use_path_style": {"true"}}
	return &Server{&url.URL{Scheme: "s3", Host: bucket, RawQuery: query.Encode()}}
}

// Place returns the URL, as storage.Open takes it, of a folder in the bucket that nobody has used
// yet.
func (s *Server) Place() *url.URL {
	place := *s.bucket
	query := place.Query()
	query.Set("prefix", query.Get("prefix")+rand.Text()+"/")
	place.RawQuery = query.Encode()
	return &place
}

// start builds VersityGW, starts it on a folder of the test, and returns its address once it
// answers.
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
	address, err = daemon.FreeAddress(t.Context())
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(binary)), "--port", address, "--health", "/health",
		"--quiet", "posix", folder)
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + accessKey, "ROOT_SECRET_ACCESS_KEY=" + secretKey}
	_, err = daemon.Start(t, cmd, 0, func(ctx context.Context) error {
		return isHealthy(ctx,
			"http://"+address+"/health")
	})
	return address, err
}

// isHealthy returns an error unless the answer is 200.
func isHealthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// stderr returns what a command that failed has written, on lines of its own.
func stderr(err error) string {
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && len(failed.Stderr) > 0 {
		return "\n" + string(failed.Stderr)
	}
	return ""
}
