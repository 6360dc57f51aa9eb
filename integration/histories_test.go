package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/integration/history"
	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

const killedWorkers = 3 // at the same time

// Processes have tasks done for several apps of one store, and are killed at any moment and started again, while clients look. What clients
// saw, and what workers said, is checked afterwards.
func TestProcessesThatAreKilledLeaveEveryClientContent(t *testing.T) {
	onFiles, onS3 := 14, 8
	if os.Getenv("TUF_TEST_SOAK") != "" {
		onFiles, onS3 = 160, 60
	}
	t.Run("files", func(t *testing.T) {
		place := url.URL{Scheme: "file", Path: filepath.ToSlash(t.TempDir())}
		killWorkers(t, place.String(), onFiles)
	})
	t.Run("S3", func(t *testing.T) {
		killWorkers(t, s3server.Start(t).Place().String(), onS3)
	})
}

// watchedApps are the repositories, with what may be asked for.
func watchedApps(t *testing.T, store storage.Store) (repos []*testrepo.Repo, roles [][][]string) {
	all := [][]string{nil, {"timestamp"}, {"snapshot"}, {"targets"}}
	for _, a := range []struct {
		options testrepo.Options
		more    [][]string
	}{
		{testrepo.Options{App: "acme/plain", Keys: map[string]string{"timestamp": testrepo.ECDSA}}, nil},
		{testrepo.Options{App: "acme/hashes", Hashes: true, Pretty: true, Unknown: true}, nil},
		{testrepo.Options{App: "other/nested", Threshold: map[string]int{"targets": 2, "inner": 2}, Delegation: []testrepo.Delegation{
			{Name: "outer", Paths: []string{"a/*"}, Children: []testrepo.Delegation{{Name: "inner", Paths: []string{"a/*"}, Target: "a/file"}}},
		}}, [][]string{{"inner"}, {"outer", "inner"}}},
		{testrepo.Options{App: "other/bins", Succinct: 2}, [][]string{{"bin"}, {"bin-1"}}},
	} {
		repos = append(repos, testrepo.New(t, store, a.options))
		roles = append(roles, append(all, a.more...))
	}
	return repos, roles
}

func killWorkers(t *testing.T, place string, kills int) {
	store := open(t, place)
	repos, roles := watchedApps(t, store)
	j := job{Store: place, Keys: t.TempDir()}
	w := &watch{store: store, digests: map[string]string{}}
	for i, repo := range repos {
		addKeys(t, j.Keys, repo)
		j.Apps = append(j.Apps, workedApp{repo.App, repo.Root, roles[i]})
	}

	done := make(chan struct{})
	var watching sync.WaitGroup
	for _, repo := range repos {
		watching.Go(func() { w.watch(t, repo, done) })
	}
	finish := sync.OnceFunc(func() { close(done); watching.Wait() })
	defer finish() // however this ends

	var working sync.WaitGroup
	var left, hit atomic.Int64
	left.Store(int64(kills))
	for range killedWorkers {
		working.Go(func() {
			for left.Add(-1) >= 0 && !t.Failed() {
				if w.workAndBeKilled(t, j) {
					hit.Add(1)
				}
			}
		})
	}
	working.Wait()
	require.False(t, t.Failed())
	assert.Greater(t, hit.Load(), int64(kills/2), "kills that hit work under way")
	w.rollAll(t, j, repos)
	finish()

	for _, repo := range repos {
		w.readSnapshots(t, repo)
	}
	assert.Empty(t, history.Check(w.record))
	t.Logf("%d kills, %d of them of work under way; %d observations, %d tasks done, %d versions of files, %d timestamps",
		kills, hit.Load(), len(w.record.Observations), len(w.record.Successes), len(w.digests), w.timestamps)
}

// addKeys writes the private keys of all roles but root as keys.Dir wants them.
func addKeys(t *testing.T, folder string, repo *testrepo.Repo) {
	t.Helper()
	folder = filepath.Join(folder, filepath.FromSlash(repo.App))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	for role, all := range repo.Keys {
		for _, key := range all {
			if role == metadata.ROOT {
				continue
			}
			der, err := x509.MarshalPKCS8PrivateKey(key.Private)
			require.NoError(t, err)
			data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
			require.NoError(t, os.WriteFile(filepath.Join(folder, key.ID), data, 0o600))
		}
	}
}

// A watch records a history.
type watch struct {
	store storage.Store
	clock atomic.Int64

	mu         sync.Mutex
	record     history.Record
	digests    map[string]string
	timestamps int
}

// Get is the store's, and records what it reads.
func (w *watch) Get(ctx context.Context, key string) (storage.Object, error) {
	object, err := w.store.Get(ctx, key)
	if err != nil {
		return object, err
	}
	name := key
	if strings.HasSuffix(key, "/timestamp.json") {
		version, err := versionOf(object.Data)
		if err != nil {
			return storage.Object{}, fmt.Errorf("%s: %w", key, err)
		}
		name = fmt.Sprintf("%s version %d", key, version)
	}
	digest := sha256.Sum256(object.Data)
	w.mu.Lock()
	defer w.mu.Unlock()
	if hexed := hex.EncodeToString(digest[:]); w.digests[name] != hexed {
		if name != key && w.digests[name] == "" {
			w.timestamps++
		}
		w.digests[name] = hexed
		w.record.Files = append(w.record.Files, history.File{Name: name, Digest: hexed})
	}
	return object, nil
}

func (w *watch) Create(context.Context, string, []byte) (storage.Version, error) {
	panic("watchers do not write")
}

func (w *watch) Replace(context.Context, string, storage.Version, []byte) (storage.Version, error) {
	panic("watchers do not write")
}

// watch looks at an app until done, and once more.
func (w *watch) watch(t *testing.T, repo *testrepo.Repo, done <-chan struct{}) {
	old := testrepo.NewClient(t, w, repo.App, repo.Root, true)
	for stop := false; !stop; {
		select {
		case <-done:
			stop = true
		default:
		}
		o := history.Observation{App: repo.App, Begun: w.clock.Add(1)}
		versions, err := testrepo.NewClient(t, w, repo.App, repo.Root, false).Versions()
		if err == nil {
			err = w.readListed(t.Context(), repo, versions)
		}
		if err == nil && repo.App == "other/nested" {
			_, err = testrepo.NewClient(t, w, repo.App, repo.Root, false).Target("a/file")
		}
		if err == nil {
			_, err = old.Versions()
		}
		if err != nil {
			o.Problem = err.Error()
		}
		o.Timestamp, o.Snapshot = versions[metadata.TIMESTAMP], versions[metadata.SNAPSHOT]
		delete(versions, metadata.TIMESTAMP)
		delete(versions, metadata.SNAPSHOT)
		delete(versions, metadata.ROOT)
		o.Listed = versions
		w.mu.Lock()
		w.record.Observations = append(w.record.Observations, o)
		w.mu.Unlock()
	}
}

// readListed reads the files that a snapshot lists.
func (w *watch) readListed(ctx context.Context, repo *testrepo.Repo, versions map[string]int64) error {
	for role, version := range versions {
		switch role {
		case metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT:
			continue
		}
		object, err := w.Get(ctx, repo.File(role, version))
		if err != nil {
			return err
		}
		md, err := metadata.Targets().FromBytes(object.Data)
		if err != nil {
			return err
		}
		if md.Signed.Version != version {
			return fmt.Errorf("%s has version %d", repo.File(role, version), md.Signed.Version)
		}
	}
	return nil
}

// workAndBeKilled starts a worker and kills it a while after it has begun to work. It reports whether there was work under way.
func (w *watch) workAndBeKilled(t *testing.T, j job) (hit bool) {
	program, err := os.Executable()
	if !assert.NoError(t, err) {
		return false
	}
	input, err := json.Marshal(j)
	if !assert.NoError(t, err) {
		return false
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), workerEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	stdout, err := cmd.StdoutPipe()
	if !assert.NoError(t, err) || !assert.NoError(t, cmd.Start()) {
		return false
	}
	var kill *time.Timer
	begun := map[string]bool{}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue // cut off by the end
		}
		if kill == nil {
			kill = time.AfterFunc(rand.N(500*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
		if !l.State.Ended() {
			begun[l.Task] = true
			continue
		}
		delete(begun, l.Task)
		if assert.Equal(t, tasks.StateSuccess, l.State, l.Error) {
			w.mu.Lock()
			w.record.Successes = append(w.record.Successes, history.Success{App: l.App, Heard: w.clock.Add(1), Versions: l.Versions})
			w.mu.Unlock()
		}
	}
	_ = cmd.Wait() // it was killed
	assert.Empty(t, stderr.String())
	assert.NotNil(t, kill, "it has done nothing")
	return len(begun) > 0
}

// rollAll rolls everything once more, in this process.
func (w *watch) rollAll(t *testing.T, j job, repos []*testrepo.Repo) {
	t.Helper()
	provider, err := keys.NewDir(j.Keys)
	require.NoError(t, err)
	u, err := tufupdate.New(tufupdate.Config{Store: w.store, Keys: provider, Roots: j.root, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for i, repo := range repos {
		for _, roles := range j.Apps[i].Roles {
			result, err := u.Roll(t.Context(), repo.App, roles)
			require.NoError(t, err)
			require.Empty(t, result.Warnings)
			w.mu.Lock()
			w.record.Successes = append(w.record.Successes, history.Success{App: repo.App, Heard: w.clock.Add(1), Versions: result.Versions})
			w.mu.Unlock()
		}
	}
}

// readSnapshots reads the snapshots of which somebody has said that they were published.
func (w *watch) readSnapshots(t *testing.T, repo *testrepo.Repo) {
	t.Helper()
	read := map[int64]bool{}
	for _, s := range w.record.Successes {
		version, ok := s.Versions[metadata.SNAPSHOT]
		if s.App != repo.App || !ok || read[version] {
			continue
		}
		read[version] = true
		object, err := w.Get(t.Context(), repo.File(metadata.SNAPSHOT, version))
		require.NoError(t, err)
		md, err := metadata.Snapshot().FromBytes(object.Data)
		require.NoError(t, err)
		listed := map[string]int64{}
		for name, info := range md.Signed.Meta {
			listed[strings.TrimSuffix(name, ".json")] = info.Version
		}
		w.record.Snapshots = append(w.record.Snapshots, history.Snapshot{App: repo.App, Version: version, Listed: listed})
	}
}
