package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

const (
	killedWorkers = 3 // at the same time
	shortestLife  = 100 * time.Millisecond
)

// Processes have tasks done for several apps of one store, and are killed at any moment and started
// again, while clients look. What clients saw, and what workers said, is checked afterwards.
func TestProcessesThatAreKilledLeaveEveryClientContent(t *testing.T) {
	onFiles, onS3 := int64(14), int64(8)
	if os.Getenv("TUF_TEST_SOAK") != "" {
		onFiles, onS3 = 150, 60
	}
	t.Run("files", func(t *testing.T) {
		place := url.URL{Scheme: "file", Path: filepath.ToSlash(t.TempDir())}
		killWorkers(t, place.String(), onFiles, 600*time.Millisecond)
	})
	t.Run("S3", func(t *testing.T) {
		killWorkers(t, s3server.Start(t).Place().String(), onS3, 1200*time.Millisecond)
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
		{testrepo.Options{App: "other/nested", Threshold: map[string]int{"targets": 2, "inner": 2},
			Delegation: []testrepo.Delegation{
				{Name: "outer", Paths: []string{"a/*"}, Children: []testrepo.Delegation{{Name: "inner", Paths: []string{"a/*"},
					Target: "a/file"}}},
			}}, [][]string{{"inner"}, {"outer", "inner"}}},
		{testrepo.Options{App: "other/bins", Succinct: 2}, [][]string{{"bin"}, {"bin-1"}}},
	} {
		repos = append(repos, testrepo.New(t, store, a.options))
		roles = append(roles, append(all, a.more...))
	}
	return repos, roles
}

// killWorkers kills workers, each within longest of its first sign of work: so often, and more
// often if by then nothing has been done for some app.
func killWorkers(t *testing.T, place string, kills int64, longest time.Duration) {
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

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var working sync.WaitGroup
	var killed, hit atomic.Int64
	for i := range killedWorkers {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		working.Go(func() {
			for n := killed.Add(1); n <= kills || n <= 4*kills && len(w.idle(repos)) > 0; n = killed.Add(1) {
				if w.workAndBeKilled(t, j, random, longest) {
					hit.Add(1)
				}
				if t.Failed() {
					return
				}
			}
			killed.Add(-1)
		})
	}
	working.Wait()
	assert.Greater(t, hit.Load(), killed.Load()/2, "kills that hit work under way")
	assert.Empty(t, w.idle(repos), "apps for which nothing was done after the first kill")
	w.rollAll(t, j, repos)
	finish()

	for _, repo := range repos {
		w.readSnapshots(t, repo)
	}
	w.readAgain(t)
	for _, wrong := range history.Check(w.record) {
		assert.Fail(t, wrong)
	}
	t.Logf("%d kills, %d of them during work; %d timestamps in %d observations, %d tasks done, %d versions of files verified",
		killed.Load(), hit.Load(), w.timestamps, len(w.record.Observations), len(w.record.Successes), len(w.digests))
}

// A watch records a history.
type watch struct {
	store storage.Store
	pause time.Duration // between looks
	clock atomic.Int64

	mu         sync.Mutex
	record     history.Record
	digests    map[string]string
	timestamps int
	firstKill  int64 // when, if there was one
}

// success records what was said to be published.
func (w *watch) success(app string, asked []string, versions map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record.Successes = append(w.record.Successes,
		history.Success{App: app, Heard: w.clock.Add(1), Asked: asked, Versions: versions})
}

// idle returns the apps for which no worker has done a task since the first kill.
func (w *watch) idle(repos []*testrepo.Repo) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var apps []string
	for _, repo := range repos {
		if w.firstKill == 0 || !slices.ContainsFunc(w.record.Successes, func(s history.Success) bool {
			return s.App == repo.App && s.Heard > w.firstKill
		}) {
			apps = append(apps, repo.App)
		}
	}
	return apps
}

// Get is the store's, and records what it reads.
func (w *watch) Get(ctx context.Context, key string) (storage.Object, error) {
	object, err := w.store.Get(ctx, key)
	if err != nil {
		return object, err
	}
	name, err := nameOf(key, object.Data)
	if err != nil {
		return storage.Object{}, err
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

// watch has two clients look at an app until done, and once more: one that began before everything,
// and ever new ones. Then both agree.
func (w *watch) watch(t *testing.T, repo *testrepo.Repo, done <-chan struct{}) {
	old := testrepo.NewClient(t, w, repo.App, repo.Root, true)
	for stop := false; !stop; {
		select {
		case <-done:
			stop = true
		case <-time.After(w.pause):
		}
		cold := testrepo.NewClient(t, w, repo.App, repo.Root, false)
		found, ok := w.observe(t.Context(), repo, cold)
		foundByOld, oldOK := w.observe(t.Context(), repo, old)
		if !ok || !oldOK {
			return // the checker will tell
		}
		if stop {
			assert.Equal(t, found, foundByOld, "app %s: what a new client and an old one hold in the end", repo.App)
		}
	}
}

// observe records what a client finds, and reports whether it would go on.
func (w *watch) observe(ctx context.Context, repo *testrepo.Repo, client *testrepo.Client) (found map[string]int64,
	ok bool) {
	o := history.Observation{App: repo.App, Begun: w.clock.Add(1)}
	found, err := client.Versions()
	if err == nil {
		err = w.verifyListed(ctx, repo, found)
	}
	if err == nil && repo.App == "other/nested" {
		_, err = client.Target("a/file")
	}
	if err != nil {
		o.Problem = err.Error()
	}
	o.Timestamp, o.Snapshot, o.Listed = found[metadata.TIMESTAMP], found[metadata.SNAPSHOT], listed(found)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record.Observations = append(w.record.Observations, o)
	return found, err == nil
}

// listed returns those of a client's versions that are targets and delegated roles'.
func listed(versions map[string]int64) map[string]int64 {
	versions = maps.Clone(versions)
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT} {
		delete(versions, role)
	}
	return versions
}

// verifyListed reads the files that a snapshot lists, and verifies targets by root and each
// delegated one by whoever delegates to it.
func (w *watch) verifyListed(ctx context.Context, repo *testrepo.Repo, versions map[string]int64) error {
	documents := map[string]*metadata.Metadata[metadata.TargetsType]{}
	for role, version := range listed(versions) {
		object, err := w.Get(ctx, repo.File(role, version))
		if err != nil {
			return err
		}
		md, err := metadata.Targets().FromBytes(object.Data)
		if err != nil {
			return fmt.Errorf("%s: %w", repo.File(role, version), err)
		}
		if md.Signed.Version != version {
			return fmt.Errorf("%s has version %d", repo.File(role, version), md.Signed.Version)
		}
		documents[role] = md
	}
	root, err := metadata.Root().FromBytes(repo.Root)
	if err != nil {
		return err
	}
	if documents[metadata.TARGETS] == nil {
		return errors.New("targets is not listed")
	}
	if err := root.VerifyDelegate(metadata.TARGETS, documents[metadata.TARGETS]); err != nil {
		return fmt.Errorf("%s: %w", repo.File(metadata.TARGETS, versions[metadata.TARGETS]), err)
	}
	verified := map[string]bool{metadata.TARGETS: true}
	for _, from := range documents {
		for _, role := range delegated(from.Signed.Delegations) {
			if documents[role] == nil {
				return fmt.Errorf("role %s is delegated to, and not listed", role)
			}
			if err := from.VerifyDelegate(role, documents[role]); err != nil {
				return fmt.Errorf("%s: %w", repo.File(role, versions[role]), err)
			}
			verified[role] = true
		}
	}
	for role := range documents {
		if !verified[role] {
			return fmt.Errorf("role %s is listed, and nobody delegates to it", role)
		}
	}
	return nil
}

func delegated(d *metadata.Delegations) (roles []string) {
	switch {
	case d == nil:
	case d.SuccinctRoles != nil:
		roles = d.SuccinctRoles.GetRoles()
	default:
		for _, role := range d.Roles {
			roles = append(roles, role.Name)
		}
	}
	return roles
}

// workAndBeKilled starts a worker and kills it a while after it has begun to work. It reports
// whether there was work under way.
func (w *watch) workAndBeKilled(t *testing.T, j job, random *rand.Rand, longest time.Duration) (hit bool) {
	j.Seed = random.Uint64()
	life := shortestLife + time.Duration(random.Int64N(int64(longest-shortestLife)))
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
			kill = time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		}
		if !l.State.Ended() {
			begun[l.Task] = true
			continue
		}
		delete(begun, l.Task)
		if assert.Equal(t, tasks.StateSuccess, l.State, l.Error) {
			w.success(l.App, l.Roles, l.Versions)
		}
	}
	_ = cmd.Wait()
	w.mu.Lock()
	if w.firstKill == 0 {
		w.firstKill = w.clock.Add(1)
	}
	w.mu.Unlock()
	assert.Equal(t, -1, cmd.ProcessState.ExitCode(), "it ended before it was killed: %s", cmd.ProcessState)
	assert.Empty(t, stderr.String())
	assert.NotNil(t, kill, "it has begun nothing")
	return len(begun) > 0
}

// rollAll rolls everything once more, in this process.
func (w *watch) rollAll(t *testing.T, j job, repos []*testrepo.Repo) {
	t.Helper()
	provider, err := keys.NewDir(j.Keys, keys.DirOptions{})
	require.NoError(t, err)
	u, err := tufupdate.New(tufupdate.Config{Store: w.store, Keys: provider, Roots: j.root,
		Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for i, repo := range repos {
		for _, roles := range j.Apps[i].Roles {
			result, err := u.Roll(t.Context(), repo.App, roles)
			if assert.NoError(t, err) && assert.Empty(t, result.Warnings) {
				w.success(repo.App, roles, result.Versions)
			}
		}
	}
}

// readSnapshots reads the snapshots of which somebody has said that they were published, and all
// that they list.
func (w *watch) readSnapshots(t *testing.T, repo *testrepo.Repo) {
	t.Helper()
	read := map[int64]bool{}
	for _, s := range w.record.Successes {
		version := s.Versions[metadata.SNAPSHOT]
		if s.App != repo.App || version == 0 || read[version] {
			continue
		}
		read[version] = true
		snapshot := history.Snapshot{App: repo.App, Version: version}
		var err error
		snapshot.Listed, err = w.readSnapshot(t.Context(), repo, version)
		if errors.Is(err, storage.ErrNotFound) && snapshot.Listed == nil {
			continue // the checker will tell
		}
		if err != nil {
			snapshot.Problem = err.Error()
		}
		w.record.Snapshots = append(w.record.Snapshots, snapshot)
	}
}

// readSnapshot verifies a snapshot and what it lists. Listed is nil if the snapshot cannot be read.
func (w *watch) readSnapshot(ctx context.Context, repo *testrepo.Repo, version int64) (listed map[string]int64,
	err error) {
	object, err := w.Get(ctx, repo.File(metadata.SNAPSHOT, version))
	if err != nil {
		return nil, err
	}
	md, err := metadata.Snapshot().FromBytes(object.Data)
	if err != nil {
		return nil, err
	}
	listed = map[string]int64{}
	for name, info := range md.Signed.Meta {
		listed[strings.TrimSuffix(name, ".json")] = info.Version
	}
	if md.Signed.Version != version {
		return listed, fmt.Errorf("it has version %d", md.Signed.Version)
	}
	root, err := metadata.Root().FromBytes(repo.Root)
	if err != nil {
		return listed, err
	}
	if err := root.VerifyDelegate(metadata.SNAPSHOT, md); err != nil {
		return listed, err
	}
	return listed, w.verifyListed(ctx, repo, listed)
}

// readAgain reads every file that was read before, except timestamps, lest one has had other
// content meanwhile.
func (w *watch) readAgain(t *testing.T) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(w.digests)) {
		if !strings.Contains(name, "timestamp.json") {
			_, err := w.Get(t.Context(), name)
			assert.NoError(t, err)
		}
	}
}
