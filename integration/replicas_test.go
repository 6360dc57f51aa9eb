package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
)

const fleetSecret = "a secret of the tests, long enough for HS256"

// A fleet is what replicas of the server have in common: repositories in one store, their keys, and
// the roots that they are trusted by.
type fleet struct {
	program string
	flags   []string
	store   string // URL
	repos   []*testrepo.Repo
}

// newFleet makes repositories of one kind in a store on files. The replicas get the flags, besides
// those that say where things are.
func newFleet(t *testing.T, apps int, options testrepo.Options, flags ...string) *fleet {
	t.Helper()
	var all []testrepo.Options
	for i := range apps {
		options.App = fmt.Sprintf("acme/app%d", i)
		all = append(all, options)
	}
	return newFleetAt(t, "file://"+filepath.Join(t.TempDir(), "store")+"?create_dir=true", all, flags...)
}

// newFleetAt makes repositories in the store at a place. All belong to acme.
func newFleetAt(t *testing.T, place string, apps []testrepo.Options, flags ...string) *fleet {
	t.Helper()
	dir := t.TempDir()
	f := &fleet{program: buildServer(t), store: place}
	keyDir, roots := filepath.Join(dir, "keys"), filepath.Join(dir, "roots")
	require.NoError(t, os.MkdirAll(filepath.Join(roots, "acme"), 0o700))
	store := open(t, f.store)
	for _, options := range apps {
		repo := testrepo.New(t, store, options)
		addKeys(t, keyDir, repo)
		require.NoError(t, os.WriteFile(filepath.Join(roots, options.App+".json"), repo.Root, 0o600))
		f.repos = append(f.repos, repo)
	}
	f.flags = append([]string{"-store", f.store, "-keys", keyDir, "-roots", roots, "-serve"}, flags...)
	return f
}

// A replica is one of the servers, at an address that it keeps when it is started again.
type replica struct {
	fleet   *fleet
	address string
	flags   []string

	cmd    *exec.Cmd
	output *bytes.Buffer
	logs   []*bytes.Buffer
}

// replica makes a replica, and starts it.
func (f *fleet) replica(t *testing.T, flags ...string) *replica {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &replica{fleet: f, address: listener.Addr().String(), flags: flags}
	require.NoError(t, listener.Close())
	r.start(t)
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			for i, log := range r.logs {
				text := log.String()
				t.Logf("%s, start %d:\n…%s", r.address, i+1, text[max(0, len(text)-8<<10):])
			}
		}
	})
	return r
}

// start starts the server and waits until it is ready.
func (r *replica) start(t *testing.T) {
	t.Helper()
	args := append(append([]string{"-listen", r.address}, r.fleet.flags...), r.flags...)
	r.cmd = exec.CommandContext(t.Context(), r.fleet.program, args...)
	r.cmd.Env = append(os.Environ(), "TUF_JWT_SECRET="+fleetSecret)
	r.output = new(bytes.Buffer)
	r.logs = append(r.logs, r.output)
	r.cmd.Stderr = r.output
	require.NoError(t, r.cmd.Start())
	require.Eventually(t, func() bool { return r.get(t, "/readyz") == http.StatusOK }, patience, 20*time.Millisecond,
		"it did not get ready")
}

// get returns the status of a path, 0 if nobody answers.
func (r *replica) get(t *testing.T, path string) int {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+path, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// kill ends the server as a power cut would.
func (r *replica) kill() {
	_ = r.cmd.Process.Kill() // it may be dead already
	_ = r.cmd.Wait()
}

// stop has the server end by itself.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, r.cmd.Wait(), "%s", r.output)
}

// call makes a request as an admin of the repositories' owner. status is 0 if there was no answer.
func (r *replica) call(t *testing.T, method, pathAndQuery, body string, to any) (status int) {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": "acme", "role": "admin", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(fleetSecret))
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+pathAndQuery,
		strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return 0 // it was killed while it spoke
	}
	if response.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(data, to), "%s", data)
	}
	return response.StatusCode
}

// force asks for roles of an app, for the default ones if none are named. id is empty if it was not
// accepted.
func (r *replica) force(t *testing.T, app string, roles ...string) (id string, status int) {
	t.Helper()
	body, err := json.Marshal(map[string][]string{"roles": roles})
	require.NoError(t, err)
	var accepted answer[taskState]
	status = r.call(t, http.MethodPost, "/tuf/v1/metadata/online?appName="+url.QueryEscape(app), string(body), &accepted)
	return accepted.Data.ID, status
}

// await waits until a task has succeeded.
func (r *replica) await(t *testing.T, id string, longest time.Duration) taskState {
	t.Helper()
	late := time.Now().Add(longest)
	for {
		var task answer[taskState]
		status := r.call(t, http.MethodGet, "/tuf/v1/task?task_id="+id, "", &task)
		require.NotEqual(t, http.StatusNotFound, status, "task %s was accepted and is lost", id)
		if task.Data.State == "SUCCESS" {
			require.True(t, task.Data.Result.Status)
			return task.Data
		}
		require.NotEqual(t, "FAILURE", task.Data.State, "%+v", task)
		require.True(t, time.Now().Before(late), "task %s is still not done: %d %+v", id, status, task)
		time.Sleep(50 * time.Millisecond)
	}
}

// poll has a client of each repository refresh again and again until stop is called. None may ever
// fail.
func (f *fleet) poll(t *testing.T) (stop func() (polls int)) {
	t.Helper()
	store := open(t, f.store)
	done := make(chan struct{})
	var polling sync.WaitGroup
	var mu sync.Mutex
	polls := 0
	for _, repo := range f.repos {
		client := testrepo.NewClient(t, store, repo.App, repo.Root, true)
		polling.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				if !assert.NoError(t, client.Refresh(), repo.App) {
					return
				}
				mu.Lock()
				polls++
				mu.Unlock()
			}
		})
	}
	stop = sync.OnceValue(func() int {
		close(done)
		polling.Wait()
		return polls
	})
	t.Cleanup(func() { stop() })
	return stop
}
