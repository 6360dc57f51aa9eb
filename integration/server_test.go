package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/tufonline/tufonline/integration/s3server"
)

const (
	demoApp  = "demo/hello"
	patience = 30 * time.Second // with a task
)

func TestServerRollsTheDemoForClientsOverHTTP(t *testing.T) {
	program := buildServer(t)
	for _, tc := range []struct {
		name  string
		flags func(t *testing.T) []string
	}{
		{"files", func(*testing.T) []string { return nil }},
		{"S3", func(t *testing.T) []string { return []string{"-store", s3server.Start(t).Place().String()} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, flags := t.TempDir(), tc.flags(t)

			s := startServer(t, program, dir, flags...)
			client := s.client(t)
			before := client.versions(t)
			task := s.waitFor(t, s.roll(t))
			after := client.versions(t)
			for _, role := range []string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
				assert.Equal(t, before[role]+1, after[role], role)
				assert.Equal(t, after[role], task.Result.Details.Versions[role], "%s in the task's result", role)
			}
			accepted := []string{s.roll(t), s.roll(t), s.roll(t)}
			s.stop(t)

			s = startServer(t, program, dir, flags...)
			for _, id := range accepted { // before the end, or after it
				s.waitFor(t, id)
			}
			finished := s.client(t).versions(t)
			for role, version := range after {
				assert.Greater(t, finished[role], version, "%s after what was accepted before the end", role)
			}
			s.stop(t)
		})
	}
}

// buildServer builds the example and returns its program.
func buildServer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "server")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./examples/server")
	cmd.Dir = ".."
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// A server is the example with its demo, in a process of its own.
type server struct {
	cmd      *exec.Cmd
	stdout   *bufio.Reader
	stderr   *bytes.Buffer
	stopped  bool
	dir      string
	api      string // URL, without a slash at the end
	token    string
	metadata string // URLs, as the server prints them
	targets  string
}

// startServer starts the server in dir, with the environment of the test, and reads from what it
// prints where it serves. It does not survive the test.
func startServer(t *testing.T, program, dir string, flags ...string) *server {
	t.Helper()
	s := &server{dir: dir, stderr: &bytes.Buffer{}}
	s.cmd = exec.CommandContext(t.Context(), program, append([]string{"-demo", "-listen", "127.0.0.1:0"}, flags...)...)
	s.cmd.Dir, s.cmd.Stderr = dir, s.stderr
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() {
		if !s.stopped {
			_ = s.cmd.Wait() // it was killed when the test's context ended
			t.Logf("the server's log:\n%s", s.stderr)
		}
	})
	s.stdout = bufio.NewReader(stdout)
	var text strings.Builder
	for !strings.Contains(text.String(), "\n  targets at") {
		line, err := s.stdout.ReadString('\n')
		require.NoError(t, err, "it did not start")
		text.WriteString(line)
	}
	printed := func(pattern string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(text.String())
		require.NotNil(t, match, "%s in %s", pattern, &text)
		return match[1]
	}
	s.token = printed(`TOKEN=(\S+)`)
	s.api = printed(`'(http://[^/]+)/tuf/v1/metadata/online`)
	s.metadata = printed(`metadata at +(\S+)`)
	s.targets = printed(`targets at +(\S+)`)
	return s
}

// stop tells the server to end, which it does without an error, and returns its log.
func (s *server) stop(t *testing.T) (log string) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	_, err := io.Copy(io.Discard, s.stdout)
	require.NoError(t, err)
	s.stopped = true
	require.NoError(t, s.cmd.Wait(), "%s", s.stderr)
	return s.stderr.String()
}

type answer[T any] struct {
	Data    T      `json:"data"`
	Message string `json:"message"`
}

type taskState struct {
	ID     string `json:"task_id"`
	State  string `json:"state"`
	Result struct {
		Message    string `json:"message"`
		Status     bool   `json:"status"`
		LastUpdate string `json:"last_update"`
		Error      string `json:"error"`
		ErrorCode  string `json:"error_code"`
		Details    struct {
			UpdatedRoles []string         `json:"updated_roles"`
			Versions     map[string]int64 `json:"versions"`
			Warnings     []string         `json:"warnings"`
			Attempt      int              `json:"attempt"`
		} `json:"details"`
	} `json:"result"`
}

// call sends a request with the token that the server printed, and decodes the answer into what to
// points to.
func (s *server) call(t *testing.T, method, pathAndQuery, body string, to any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.api+pathAndQuery, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", data)
	require.NoError(t, json.Unmarshal(data, to), "%s", data)
}

// roll asks for the default roles and returns the ID of the task.
func (s *server) roll(t *testing.T) (id string) {
	t.Helper()
	var accepted answer[taskState]
	s.call(t, http.MethodPost, "/tuf/v1/metadata/online?appName="+url.QueryEscape(demoApp), "{}", &accepted)
	require.Equal(t, "Force online metadata update accepted.", accepted.Message)
	require.NotEmpty(t, accepted.Data.ID)
	return accepted.Data.ID
}

// waitFor asks for a task until it has succeeded.
func (s *server) waitFor(t *testing.T, id string) taskState {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		var task answer[taskState]
		s.call(t, http.MethodGet, "/tuf/v1/task?task_id="+id, "", &task)
		switch task.Data.State {
		case "SUCCESS":
			require.True(t, task.Data.Result.Status)
			return task.Data
		case "PENDING", "STARTED":
		default:
			require.FailNow(t, "the task ended otherwise", "%+v", task)
		}
		select {
		case <-tick.C:
		case <-late:
			require.FailNow(t, "the task does not end", "%+v", task)
		}
	}
}

// A httpClient is go-tuf's client over HTTP, with a cache.
type httpClient struct {
	config *config.UpdaterConfig
}

// client returns a client that trusts the root that the demo has laid down for clients.
func (s *server) client(t *testing.T) httpClient {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(s.dir, "demo-data", "roots", filepath.FromSlash(demoApp)+".json"))
	require.NoError(t, err)
	c, err := config.New(s.metadata, root)
	require.NoError(t, err)
	c.RemoteTargetsURL = s.targets
	c.LocalMetadataDir, c.LocalTargetsDir = t.TempDir(), t.TempDir()
	return httpClient{c}
}

// versions refreshes, downloads the target of the demo, and returns the versions that the client
// then trusts.
func (c httpClient) versions(t *testing.T) map[string]int64 {
	t.Helper()
	u, err := updater.New(c.config)
	require.NoError(t, err)
	require.NoError(t, u.Refresh())
	info, err := u.GetTargetInfo("hello.txt")
	require.NoError(t, err)
	// not what it has downloaded before
	_, data, err := u.DownloadTarget(info, filepath.Join(t.TempDir(), "hello.txt"), "")
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(data))
	trusted := u.GetTrustedMetadataSet()
	return map[string]int64{
		metadata.TIMESTAMP: trusted.Timestamp.Signed.Version,
		metadata.SNAPSHOT:  trusted.Snapshot.Signed.Version,
		metadata.TARGETS:   trusted.Targets[metadata.TARGETS].Signed.Version,
	}
}
