package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

const testSecret = "0123456789abcdef0123456789abcdef"

func environment(name string) string {
	if name == secretEnv {
		return testSecret
	}
	return ""
}

func nothing(string) string { return "" }

func TestOptionsThatDoNotMakeAServerAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string
		getenv func(string) string
		want   string
	}{
		{"no flags", nil, environment, "-store is missing"},
		{"no keys", []string{"-store", "mem://"}, environment, "-keys is missing"},
		{"nothing to verify tokens with", []string{"-store", "mem://", "-keys", "x", "-roots", "x"}, nothing, secretEnv},
		{"no root to trust, -roots", []string{"-store", "mem://", "-keys", "x"}, environment, "-roots"},
		{"no root to trust, -trust-first-root", []string{"-store", "mem://", "-keys", "x"}, environment, "-trust-first-root"},
		{"two ways to trust", []string{"-store", "mem://", "-keys", "x", "-roots", "x", "-trust-first-root"}, environment,
			"cannot be combined"},
		{"no worker for tasks in memory",
			[]string{"-store", "mem://", "-keys", "x", "-roots", "x", "-work=false"}, environment, "no server would work them"},
		{"a mirror without Redis", []string{"-store", "mem://", "-keys", "x", "-mirror-tasks"}, environment,
			"there is no Redis"},
		{"no time to roll", []string{"-store", "mem://", "-keys", "x", "-roll-timeout", "0"}, environment, "-roll-timeout"},
		{"renewal back in time", []string{"-store", "mem://", "-keys", "x", "-renew-every", "-1s"}, environment,
			"-renew-every"},
		{"no look", []string{"-store", "mem://", "-keys", "x", "-renew-look", "0"}, environment, "-renew-look"},
		{"no renewal for the demo", []string{"-demo", "-no-renew"}, nothing, "-no-renew cannot be combined with -demo"},
		{"no level", []string{"-demo", "-log-level", "loud"}, nothing, "-log-level"},
		{"unknown flag", []string{"-nope"}, environment, "nope"},
		{"an argument", []string{"-demo", "x"}, environment, `unexpected argument "x"`},
		{"keys of its own for the demo", []string{"-demo", "-keys", "x"}, nothing, "-keys cannot be combined with -demo"},
		{"tokens of its own for the demo", []string{"-demo", "-jwks", "x"}, nothing, "-jwks cannot be combined with -demo"},
		{"no other root for the demo", []string{"-demo", "-trust-first-root"}, nothing,
			"-trust-first-root cannot be combined with -demo"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), tc.args, tc.getenv, io.Discard, io.Discard)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestServerThatCannotWorkDoesNotStart(t *testing.T) {
	keys := t.TempDir()
	none := filepath.Join(keys, "x")
	for _, tc := range []struct {
		name string
		args []string // beside those of a server that works
		want string
	}{
		{"unknown store", []string{"-store", "nope://"}, "nope"},
		{"no folder of keys", []string{"-keys", none}, "keys"},
		{"no folder of roots", []string{"-trust-first-root=false", "-roots", none}, "trusted roots"},
		{"no key set", []string{"-jwks", none}, "JWKS"},
		{"algorithm none", []string{"-jwt-alg", "none"}, `"none"`},
		{"unknown task store", []string{"-tasks", "redis://x"},
			`task store: unknown scheme "redis": not one of sqlite, postgres, postgresql, mem`},
		{"no folder for tasks", []string{"-tasks", "sqlite:///no/such/folder/x.db"}, "no/such/folder"},
		{"no Postgres URL", []string{"-tasks", "postgres://u:hush@127.0.0.1:1/x?pool_max_conns=none"}, "task store postgres"},
		{"no folder of files", []string{"-store", "file://" + none}, "no such file"},
		{"no memory", []string{"-memory", "nope://"}, "nope"},
		{"no folder of settings", []string{"-settings", none}, "settings"},
		{"what can be wrong is wrong although the database is away",
			[]string{"-store", "nope://", "-tasks", "postgres://u:hush@127.0.0.1:1/x"}, "nope"},
		{"a memory in the store", []string{"-store", "file://" + keys, "-memory", "file://" + keys}, errNotApart.Error()},
		{"no Redis URL", []string{"-faynosync", "http://u:hush@x"}, "not a URL of a Redis"},
		{"no such address", []string{"-listen", "127.0.0.1:no"}, "listen"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"-store", "mem://", "-keys", keys, "-trust-first-root", "-listen", "127.0.0.1:0"},
				tc.args...)
			err := run(t.Context(), args, environment, io.Discard, io.Discard)
			require.ErrorContains(t, err, tc.want)
			assert.NotContains(t, err.Error(), "hush")
		})
	}
}

func TestHelpIsNoError(t *testing.T) {
	var usage strings.Builder
	require.NoError(t, run(t.Context(), []string{"-help"}, nothing, io.Discard, &usage))
	assert.Contains(t, usage.String(), "-store")
}

// start starts the server and returns its URL once it serves. stop ends it, and returns the error
// of run.
func start(t *testing.T, args ...string) (url string, stop func() error) {
	t.Helper()
	return startUntil(t, "serving", func(ctx context.Context, log io.Writer) error {
		return run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), environment, io.Discard, log)
	})
}

// startUntil starts a server and returns its URL once it has logged a message with its address.
func startUntil(t *testing.T, message string, run func(ctx context.Context, log io.Writer) error) (url string,
	stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logged, log := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- run(ctx, log)
		log.Close()
	}()
	var before strings.Builder
	address := regexp.MustCompile(`msg=` + message + ` address=(\S+)`)
	lines := bufio.NewScanner(logged)
	for url == "" {
		if !lines.Scan() {
			t.Fatalf("it did not start: %v\n%s", <-result, &before)
		}
		before.WriteString(lines.Text() + "\n")
		if match := address.FindStringSubmatch(lines.Text()); match != nil {
			url = "http://" + match[1]
		}
	}
	drained := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, logged)
		close(drained)
	}()
	stop = func() error {
		cancel()
		<-drained
		return <-result
	}
	return url, stop
}

// call sends a request without a body, with an admin's token of the owner.
func call(t *testing.T, owner string, secret []byte, method, url string) (status int, body string) {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": owner, "role": "admin", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(secret)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

func TestItServesUntilItIsToldToStop(t *testing.T) {
	url, stop := start(t, "-store", "mem://", "-keys", t.TempDir(), "-trust-first-root", "-serve")
	status, _ := call(t, "acme", []byte(testSecret), http.MethodGet, url+"/readyz")
	assert.Equal(t, http.StatusOK, status)
	status, body := call(t, "acme", []byte(testSecret), http.MethodPost,
		url+"/tuf/v1/metadata/online?appName=acme/desktop")
	assert.Equal(t, http.StatusNotFound, status)
	assert.Contains(t, body, "not bootstrapped")
	status, _ = call(t, "acme", []byte(testSecret), http.MethodGet, url+"/tuf_metadata/acme/desktop/timestamp.json")
	assert.Equal(t, http.StatusNotFound, status)
	require.NoError(t, stop())
	_, err := http.Get(url + "/healthz")
	require.Error(t, err)
}

func TestDemoRollsAndIsThereAgainAfterARestart(t *testing.T) {
	t.Chdir(t.TempDir())
	url, stop := start(t, "-demo")
	secret, err := os.ReadFile(demoSecret)
	require.NoError(t, err)
	status, body := call(t, demoOwner, secret, http.MethodPost, url+"/tuf/v1/metadata/online?appName="+demoApp)
	require.Equal(t, http.StatusOK, status, body)
	var accepted struct {
		Data struct {
			TaskID string `json:"task_id"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &accepted))
	ended := regexp.MustCompile(`"state":"(SUCCESS|FAILURE)"`)
	for !ended.MatchString(body) {
		status, body = call(t, demoOwner, secret, http.MethodGet, url+"/tuf/v1/task?task_id="+accepted.Data.TaskID)
		require.Equal(t, http.StatusOK, status, body)
	}
	assert.Contains(t, body, `"versions":{"snapshot":2,"targets":2,"timestamp":2}`)
	require.NoError(t, stop())

	url, stop = start(t, "-demo")
	status, body = call(t, demoOwner, secret, http.MethodGet, url+"/tuf/v1/status?appName="+demoApp)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `{"role":"timestamp","version":2,`)
	status, body = call(t, demoOwner, secret, http.MethodGet, url+"/tuf/v1/task?task_id="+accepted.Data.TaskID)
	assert.Equal(t, http.StatusOK, status, "tasks outlive the process")
	assert.Contains(t, body, `"state":"SUCCESS"`)
	status, _ = call(t, demoOwner, secret, http.MethodGet, url+"/tuf_metadata/"+demoApp+"/2.snapshot.json")
	assert.Equal(t, http.StatusOK, status)
	require.NoError(t, stop())

	err = run(t.Context(), []string{"-demo", "-store", "mem://"}, nothing, io.Discard, io.Discard)
	require.ErrorContains(t, err, "another store")
}

func TestPinnedRoots(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.json")
	require.NoError(t, os.WriteFile(outside, []byte("outside"), 0o600))
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "acme", "desktop"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "acme", "desktop.json"), []byte("root"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "acme", "desktop", "beta.json"), []byte("beta"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "acme", "link.json")))
	var log bytes.Buffer
	roots, err := openRoots(dir, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)

	for app, want := range map[string]string{"acme/desktop": "root", "acme/desktop/beta": "beta"} {
		data, err := roots.root(t.Context(), app)
		require.NoError(t, err)
		assert.Equal(t, want, string(data))
	}
	_, err = roots.root(t.Context(), "acme/other")
	require.ErrorIs(t, err, tufupdate.ErrNotBootstrapped, "the first root of an app is not trusted")
	_, err = roots.root(t.Context(), "acme/link")
	require.Error(t, err, "a link does not lead out of the folder")
	_, err = roots.root(t.Context(), "../acme/desktop")
	require.Error(t, err)

	apps, err := roots.apps(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"acme/desktop", "acme/desktop/beta"}, apps,
		"apps are found beside a root that cannot be read")
	assert.Contains(t, log.String(), "acme/link.json")
}

// Kubernetes mounts a ConfigMap like this: each name is a link through another one, which it
// replaces.
func TestPinnedRootsMayBeLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "..2026_11_24", "acme"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "..2026_11_24", "acme", "desktop.json"), []byte("root"), 0o600))
	require.NoError(t, os.Symlink("..2026_11_24", filepath.Join(dir, "..data")))
	require.NoError(t, os.Symlink(filepath.Join("..data", "acme"), filepath.Join(dir, "acme")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "..2026_11_24", "acme", "round")))
	roots, err := openRoots(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	apps, err := roots.apps(t.Context())
	require.NoError(t, err)
	require.Contains(t, apps, "acme/desktop")
	assert.Less(t, len(apps), 4, "a link to an outer folder ends")
	for _, app := range apps {
		data, err := roots.root(t.Context(), app)
		require.NoError(t, err)
		assert.Equal(t, "root", string(data))
	}
}

func TestDemoKeepsItsSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	var first, second options
	require.NoError(t, useDemo(&first))
	require.NoError(t, useDemo(&second))
	assert.Equal(t, first, second)
	assert.GreaterOrEqual(t, len(first.token.Secret), refserver.MinSecret)
	info, err := os.Stat(demoSecret)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestDemoPinsTheRootThatItMade(t *testing.T) {
	t.Chdir(t.TempDir())
	o := options{store: "mem://"}
	require.NoError(t, useDemo(&o))
	store := storage.NewMemory(storage.MemoryOptions{})
	require.NoError(t, setupDemo(t.Context(), store))
	made, err := store.Get(t.Context(), demoApp+"/1.root.json")
	require.NoError(t, err)
	roots, err := openRoots(o.roots, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	pinned, err := roots.root(t.Context(), demoApp)
	require.NoError(t, err)
	assert.Equal(t, made.Data, pinned)
	assert.False(t, o.trustFirstRoot)
}

func TestDemoStoreCanBeAnother(t *testing.T) {
	t.Chdir(t.TempDir())
	o := options{store: "mem://"}
	require.NoError(t, useDemo(&o))
	assert.Equal(t, "mem://", o.store)
	assert.NoDirExists(t, demoFiles)
}

func TestDemoExplainsWithATokenThatIsValid(t *testing.T) {
	var out strings.Builder
	require.NoError(t, explainDemo(&out, "127.0.0.1:9000", []byte(testSecret)))
	token := regexp.MustCompile(`TOKEN=(\S+)`).FindStringSubmatch(out.String())
	require.NotNil(t, token)
	auth, err := refserver.NewAuthenticator(t.Context(),
		refserver.TokenConfig{Secret: []byte(testSecret), AdminClaim: "role=admin"})
	require.NoError(t, err)
	who, err := auth.Authenticate(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token[1]}}})
	require.NoError(t, err)
	assert.Equal(t, refserver.Identity{Owner: demoOwner, Admin: true}, who)
	assert.Contains(t, out.String(), "http://127.0.0.1:9000/tuf/v1/metadata/online?appName="+demoApp)
	assert.Contains(t, out.String(), "http://127.0.0.1:9000/tuf_metadata/"+demoApp+"/")
}
