package integration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

const (
	processes       = 4
	rollsOnFiles    = 160 // of each goroutine of each process
	rollsOnS3       = 60
	reportedOnS3    = 0.95 // of the releases, at least: see check
	fewestDifferent = 3    // timestamps that a reader sees, lest it has raced with nothing
)

func TestProcessesThatRollOneAppLeaveEveryClientContent(t *testing.T) {
	t.Run("files", func(t *testing.T) {
		place := url.URL{Scheme: "file", Path: filepath.ToSlash(t.TempDir())}
		race(t, place.String(), rollsOnFiles, 1)
	})
	t.Run("S3", func(t *testing.T) {
		race(t, s3server.Start(t).Place().String(), rollsOnS3, reportedOnS3)
	})
}

// race has processes roll one app of the store at place while clients refresh, and checks what
// everybody has seen. At least the share reported of the releases is to be some roll's.
func race(t *testing.T, place string, rolls int, reported float64) {
	store := open(t, place)
	repo := testrepo.New(t, store, testrepo.Options{})
	folder := t.TempDir()
	addKeys(t, folder, repo)
	witness := &witness{Store: store, contents: map[string][sha256.Size]byte{}}

	rolled := make(chan struct{})
	var readers sync.WaitGroup
	for _, r := range []struct {
		name string
		look func() (map[string]int64, error)
	}{
		{"client with a cache", testrepo.NewClient(t, witness, repo.App, repo.Root, true).Versions},
		{"another client with a cache", testrepo.NewClient(t, witness, repo.App, repo.Root, true).Versions},
		{"client without a cache", testrepo.NewClient(t, witness, repo.App, repo.Root, false).Versions},
		{"observer of the timestamp", func() (map[string]int64, error) { return witness.timestamp(t.Context(), repo.App) }},
	} {
		readers.Go(func() { keepLooking(t, r.name, r.look, rolled) })
	}
	finish := sync.OnceFunc(func() { close(rolled); readers.Wait() })
	defer finish() // however this ends
	releases := roll(t, job{Store: place, Keys: folder, App: repo.App, Root: repo.Root, Rolls: rolls})
	finish()

	last := releases.check(t, witness, repo, reported)
	t.Logf("%d rolls made %d releases, in %d turns of %d processes", processes*goroutines*rolls, last-1,
		releases.turns(last), processes)
	assert.Greater(t, releases.turns(last), processes, "the processes did not race")
	witness.readAgain(t)
}

func open(t *testing.T, place string) storage.Store {
	t.Helper()
	store, closeStore, err := openStore(t.Context(), place)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closeStore()) })
	return store
}

// addKeys writes the private keys of all roles but root into a folder, as keys.Dir wants them.
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

// keepLooking looks until done. A look never fails, and no version that it returns is below an
// earlier one.
func keepLooking(t *testing.T, name string, look func() (map[string]int64, error), done <-chan struct{}) {
	last := map[string]int64{}
	looks, different := 0, 0
	for stop := false; !stop; looks++ {
		select {
		case <-done:
			stop = true // after one more look
		default:
		}
		versions, err := look()
		if !assert.NoError(t, err, name) {
			return
		}
		for role, version := range last {
			assert.GreaterOrEqual(t, versions[role], version, "%s: version of %s", name, role)
		}
		if versions[metadata.TIMESTAMP] > last[metadata.TIMESTAMP] {
			different++
		}
		last = versions
	}
	t.Logf("%s: %d looks, %d different timestamps", name, looks, different)
	assert.GreaterOrEqual(t, different, fewestDifferent, name)
}

// A witness is a store that remembers a digest of each version of each file that was read through
// it, and fails a read that finds a version with other content than before.
type witness struct {
	storage.Store
	mu       sync.Mutex
	contents map[string][sha256.Size]byte // by key, that of a timestamp with its version
}

func (w *witness) Get(ctx context.Context, key string) (storage.Object, error) {
	object, err := w.Store.Get(ctx, key)
	if err != nil {
		return storage.Object{}, err
	}
	name, err := nameOf(key, object.Data)
	if err != nil {
		return storage.Object{}, err
	}
	digest := sha256.Sum256(object.Data)
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.contents[name]; ok && before != digest {
		return storage.Object{}, fmt.Errorf("%s has had two contents", name)
	}
	w.contents[name] = digest
	return object, nil
}

// timestamp reads the timestamp, and what it leads to.
func (w *witness) timestamp(ctx context.Context, app string) (map[string]int64, error) {
	object, err := w.Get(ctx, app+"/timestamp.json")
	if err != nil {
		return nil, err
	}
	timestamp, err := metadata.Timestamp().FromBytes(object.Data)
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{
		metadata.TIMESTAMP: timestamp.Signed.Version,
		metadata.SNAPSHOT:  timestamp.Signed.Meta["snapshot.json"].Version,
	}
	snapshot, err := w.snapshot(ctx, app, versions[metadata.SNAPSHOT])
	if err != nil {
		return nil, err
	}
	versions[metadata.TARGETS] = snapshot.Meta["targets.json"].Version
	_, err = w.Get(ctx, fmt.Sprintf("%s/%d.targets.json", app, versions[metadata.TARGETS]))
	return versions, err
}

func (w *witness) snapshot(ctx context.Context, app string, version int64) (*metadata.SnapshotType, error) {
	object, err := w.Get(ctx, fmt.Sprintf("%s/%d.snapshot.json", app, version))
	if err != nil {
		return nil, err
	}
	snapshot, err := metadata.Snapshot().FromBytes(object.Data)
	if err != nil {
		return nil, err
	}
	return &snapshot.Signed, nil
}

// readAgain reads every file that was read before.
func (w *witness) readAgain(t *testing.T) {
	t.Helper()
	for name := range w.contents {
		if !strings.Contains(name, "timestamp.json") {
			_, err := w.Get(t.Context(), name)
			require.NoError(t, err)
		}
	}
	t.Logf("%d versions of files were read", len(w.contents))
}

// Releases are what processes say they have published, by the version of the timestamp.
type releases map[int64]release

type release struct {
	process  int // one of those that published it
	versions map[string]int64
}

// add notes who published a version of the timestamp. There may be several, who agree: rolls of one
// process that were combined, and processes that signed the very same bytes, as happens within a
// second.
func (all releases) add(t *testing.T, version int64, made release) {
	t.Helper()
	for role, v := range all[version].versions {
		if also, ok := made.versions[role]; ok {
			assert.Equal(t, v, also, "version of %s that came with timestamp version %d", role, version)
		} else {
			made.versions[role] = v
		}
	}
	all[version] = made
}

// roll starts the processes, waits until they have done their job, and returns what they have
// published.
func roll(t *testing.T, j job) releases {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	input, err := json.Marshal(j)
	require.NoError(t, err)
	outputs := make([]bytes.Buffer, processes)
	var running sync.WaitGroup
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), workerEnv+"=1")
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &outputs[i], &stderr
		running.Go(func() { assert.NoError(t, cmd.Run(), "process %d: %s", i, &stderr) })
	}
	running.Wait()
	require.False(t, t.Failed())

	all := releases{}
	for i := range processes {
		results := 0
		for decoder := json.NewDecoder(&outputs[i]); decoder.More(); results++ {
			var r report
			require.NoError(t, decoder.Decode(&r))
			version := r.Versions[metadata.TIMESTAMP]
			assert.GreaterOrEqual(t, r.Seen, version, "timestamp that the store held once a roll had returned")
			assert.Empty(t, r.Warnings)
			all.add(t, version, release{i, r.Versions})
		}
		assert.Equal(t, goroutines*j.Rolls, results, "results of process %d", i)
	}
	return all
}

// check checks that what the store now holds came to be by these releases, and returns the
// timestamp's version.
//
// Over a network a release may be nobody's: the answer to its last write is lost, and before the
// write is tried again another process has published the next one. Its roll then finds a conflict,
// and reports what it publishes thereafter. So that is rare, and never so of the last.
func (all releases) check(t *testing.T, w *witness, repo *testrepo.Repo, reported float64) (last int64) {
	t.Helper()
	now, err := w.timestamp(t.Context(), repo.App)
	require.NoError(t, err)
	last = now[metadata.TIMESTAMP]
	assert.Contains(t, all, last, "the last timestamp is nobody's")
	assert.GreaterOrEqual(t, float64(len(all)), reported*float64(last-1), "releases that are somebody's, of %d", last-1)
	for version := range all {
		assert.True(t, 1 < version && version <= last,
			"timestamp version %d, which was said to be published, is not from 2 to %d", version, last)
	}
	before := map[string]int64{metadata.SNAPSHOT: 1, metadata.TARGETS: 1}
	for version := int64(2); version <= last; version++ {
		made, ok := all[version]
		if !ok {
			t.Logf("timestamp version %d is nobody's", version)
			continue
		}
		for role := range before {
			if v, ok := made.versions[role]; ok {
				assert.Greater(t, v, before[role], "version of %s that came with timestamp version %d", role, version)
				before[role] = v
			}
		}
		if v, ok := made.versions[metadata.SNAPSHOT]; ok {
			snapshot, err := w.snapshot(t.Context(), repo.App, v)
			require.NoError(t, err)
			listed := snapshot.Meta["targets.json"].Version
			assert.GreaterOrEqual(t, listed, before[metadata.TARGETS], "targets in snapshot version %d", v)
			if v, ok := made.versions[metadata.TARGETS]; ok {
				assert.Equal(t, v, listed, "targets that came with timestamp version %d", version)
			}
		}
	}
	assert.GreaterOrEqual(t, now[metadata.SNAPSHOT], before[metadata.SNAPSHOT], "the last snapshot")
	if len(all) == int(last-1) {
		assert.Equal(t, before[metadata.SNAPSHOT], now[metadata.SNAPSHOT], "the last snapshot is some release's")
	}
	assert.GreaterOrEqual(t, now[metadata.TARGETS], before[metadata.TARGETS], "the last targets")
	return last
}

// turns returns how often a process published after another had.
func (all releases) turns(last int64) int {
	turns, before := 0, -1
	for version := int64(2); version <= last; version++ {
		if made, ok := all[version]; ok && made.process != before {
			turns++
			before = made.process
		}
	}
	return turns
}
