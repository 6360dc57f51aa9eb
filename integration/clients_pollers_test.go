package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// A client polls a repository over HTTP with one of the implementations, in its default
// configuration, and keeps what it trusts.
type client struct {
	name     string
	cache    string // folder with the metadata that it trusts, one file for each role
	download func(targets []string) (contents map[string]string, err error)
	seen     map[string]int64
	polls    int
}

// newClients returns one client of each implementation, which trust the first root of a repository
// and know nothing else.
func newClients(t *testing.T, h *host, js *tufJS) []*client {
	t.Helper()
	return []*client{newGoTUF(t, h), js.newClient(t, h)}
}

// poll refreshes, downloads targets, and returns the versions in the cache: of the top-level roles,
// and of all roles by which the client has looked for targets so far. It does not fail, and no
// version goes back.
func (c *client) poll(t *testing.T, targets []string) (versions map[string]int64) {
	c.polls++
	contents, err := c.download(targets)
	if !assert.NoError(t, err, "poll %d of %s", c.polls, c.name) {
		return nil
	}
	for _, path := range targets {
		assert.Equal(t, path, contents[path], "%s: content of a target file", c.name)
	}
	versions, err = cachedVersions(c.cache)
	assert.NoError(t, err, c.name)
	for role, version := range c.seen {
		assert.GreaterOrEqual(t, versions[role], version, "%s: version of %s", c.name, role)
	}
	c.seen = versions
	return versions
}

// wholeSeconds is how the specification has expiry written. These clients take fractions too;
// python-tuf does not.
var wholeSeconds = regexp.MustCompile(`"expires": ?"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"`)

// cachedVersions reads the versions of metadata files, by role, and fails if one is not what other
// clients would take. Both implementations quote the names of roles as in a URL.
func cachedVersions(folder string) (map[string]int64, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	for _, file := range files {
		role, err := url.PathUnescape(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if versions[role], err = versionOf(data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if !wholeSeconds.Match(data) {
			return nil, fmt.Errorf("%s: expires is not in whole seconds: %s", file, data)
		}
	}
	return versions, nil
}

func newGoTUF(t *testing.T, h *host) *client {
	t.Helper()
	cfg, err := config.New(h.url, h.repo.Root)
	require.NoError(t, err)
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = t.TempDir(), t.TempDir()
	return &client{name: "go-tuf", cache: cfg.LocalMetadataDir,
		download: func(targets []string) (map[string]string, error) {
			u, err := updater.New(cfg)
			if err != nil {
				return nil, err
			}
			if err := u.Refresh(); err != nil {
				return nil, err
			}
			contents := map[string]string{}
			for _, path := range targets {
				info, err := u.GetTargetInfo(path)
				if err != nil {
					return nil, err
				}
				_, data, err := u.DownloadTarget(info, "", "")
				if err != nil {
					return nil, err
				}
				contents[path] = string(data)
			}
			return contents, nil
		}}
}

// A tufJS is a process that polls with tuf-js. Of its clients one polls at a time.
type tufJS struct {
	mu      sync.Mutex
	stdin   io.Writer
	answers *bufio.Reader
}

// installTufJS installs tuf-js, with the scripts that use it, into a folder. The test is skipped if
// there is no npm, but fails if TUF_TEST_REQUIRE is set.
func installTufJS(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil && os.Getenv("TUF_TEST_REQUIRE") == "" {
		t.Skipf("NOT TESTED with tuf-js: %v", err)
	}
	folder := t.TempDir()
	for _, name := range []string{".npmrc", "package.json", "package-lock.json", "poll.mjs", "verdicts.mjs"} {
		data, err := os.ReadFile(filepath.Join("tufjs", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), data, 0o600))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit",
		"--no-fund")
	install.Dir = folder
	output, err := install.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return folder
}

// startTufJS installs tuf-js and starts a process, which ends with the test.
func startTufJS(t *testing.T) *tufJS {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "poll.mjs")
	cmd.Dir = installTufJS(t)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Wait() // it was killed when the test's context ended
		assert.Empty(t, stderr.String(), "what node has to say")
	})
	return &tufJS{stdin: stdin, answers: bufio.NewReader(stdout)}
}

type pollRequest struct {
	MetadataDir string   `json:"metadataDir"`
	TargetDir   string   `json:"targetDir"`
	MetadataURL string   `json:"metadataURL"`
	Targets     []string `json:"targets"`
}

type pollAnswer struct {
	Contents map[string]string `json:"contents"`
	Error    string            `json:"error"`
}

func (js *tufJS) newClient(t *testing.T, h *host) *client {
	t.Helper()
	request := pollRequest{MetadataDir: t.TempDir(), TargetDir: t.TempDir(), MetadataURL: h.url}
	require.NoError(t, os.WriteFile(filepath.Join(request.MetadataDir, "root.json"), h.repo.Root, 0o600))
	return &client{name: "tuf-js", cache: request.MetadataDir,
		download: func(targets []string) (map[string]string, error) {
			request.Targets = targets
			return js.poll(request)
		}}
}

func (js *tufJS) poll(request pollRequest) (contents map[string]string, err error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if err := json.NewEncoder(js.stdin).Encode(request); err != nil {
		return nil, err
	}
	line, err := js.answers.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var answer pollAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Contents, nil
}
