package integration_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/compat/faynosync"
	"github.com/tufonline/tufonline/integration/redisserver"
	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riversqlite"
	"github.com/tufonline/tufonline/tasks/taskstest"
	"github.com/tufonline/tufonline/tufupdate"
)

// An installation is a faynoSync installation, as far as it matters: a bucket, a folder of keys,
// and a Redis.
type installation struct {
	repo   *testrepo.Repo
	bucket string // folder, unless the bucket is elsewhere
	store  string // URL of what is under tuf_metadata in the bucket
	keys   string // folder
	redis  *redis.Client
}

// newInstallation makes one with the app acme/desktop, which is bootstrapped.
func newInstallation(t *testing.T, client *redis.Client) *installation {
	t.Helper()
	bucket := filepath.Join(t.TempDir(), "bucket")
	in := newInstallationIn(t, client, "file://"+bucket+"/tuf_metadata?create_dir=true")
	in.bucket = bucket
	return in
}

// newInstallationIn makes one whose metadata is in a store.
func newInstallationIn(t *testing.T, client *redis.Client, store string) *installation {
	t.Helper()
	in := &installation{store: store, keys: filepath.Join(t.TempDir(), "keys"), redis: client}
	in.repo = testrepo.New(t, open(t, in.store), testrepo.Options{
		App: "acme/desktop", Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}},
	})
	require.NoError(t, os.Mkdir(in.keys, 0o700))
	n := 0
	for role, all := range in.repo.Keys {
		for _, key := range all {
			if role == "root" {
				continue
			}
			seed := key.Private.(ed25519.PrivateKey).Seed()
			if n++; n%2 == 0 {
				seed = []byte(hex.EncodeToString(seed))
			}
			require.NoError(t, os.WriteFile(filepath.Join(in.keys, key.ID), seed, 0o600))
		}
	}
	in.set(t, "BOOTSTRAP_acme_desktop", uuid.NewString())
	return in
}

// set sets a key until the test ends.
func (in *installation) set(t *testing.T, key, value string) {
	t.Helper()
	require.NoError(t, in.redis.Set(t.Context(), key, value, 0).Err())
	// the server may have been stopped
	t.Cleanup(func() { _ = in.redis.Del(context.WithoutCancel(t.Context()), key).Err() })
}

func (in *installation) updater(t *testing.T) *tufupdate.Updater {
	t.Helper()
	provider, err := keys.NewDir(in.keys, keys.DirOptions{Flat: true})
	require.NoError(t, err)
	u, err := tufupdate.New(tufupdate.Config{
		Store: open(t, in.store), Keys: provider, Settings: faynosync.Settings(in.redis),
		Logger: slog.New(slog.DiscardHandler),
		Roots:  tufupdate.PinnedRoot(in.repo.Root),
	})
	require.NoError(t, err)
	return u
}

func (in *installation) refresh(t *testing.T) {
	t.Helper()
	require.NoError(t, testrepo.NewClient(t, in.repo.Store, in.repo.App, in.repo.Root, true).Refresh())
}

func TestWhatFaynosyncHasDecidedCounts(t *testing.T) {
	client, _ := redisserver.Start(t)
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		keys     map[string]string // without what they end in
		roles    []string
		err      error // that wraps
		says     string
		validity map[string]time.Duration
	}{
		"ready": {keys: nil, validity: map[string]time.Duration{"timestamp": day, "snapshot": 7 * day,
			"targets": 90 * day}},
		"not bootstrapped": {keys: map[string]string{"BOOTSTRAP": ""}, err: tufupdate.ErrNotBootstrapped},
		"bootstrap under way": {
			keys: map[string]string{"BOOTSTRAP": "pre-123"},
			err:  tufupdate.ErrNotBootstrapped, says: "bootstrap is under way",
		},
		"root signing under way": {
			keys: map[string]string{"BOOTSTRAP": "signing-123"},
			err:  tufupdate.ErrNotBootstrapped, says: "signing of its root is under way",
		},
		"targets online":              {keys: map[string]string{"TARGETS_ONLINE_KEY": "True"}, roles: []string{"targets"}},
		"targets online, as a number": {keys: map[string]string{"TARGETS_ONLINE_KEY": "1"}, roles: []string{"targets"}},
		"targets offline": {
			keys: map[string]string{"TARGETS_ONLINE_KEY": "false"}, roles: []string{"targets"},
			err: tufupdate.ErrTargetsOffline,
		},
		"targets offline, for nothing": {keys: map[string]string{"TARGETS_ONLINE_KEY": ""}, roles: []string{"targets"},
			err: tufupdate.ErrTargetsOffline},
		"days": {
			keys: map[string]string{
				"TIMESTAMP_EXPIRATION": "2", "SNAPSHOT_EXPIRATION": "3", "TARGETS_EXPIRATION": "365",
				"team_EXPIRATION": "30",
			},
			roles: []string{"targets", "team"},
			validity: map[string]time.Duration{"timestamp": 2 * day, "snapshot": 3 * day, "targets": 365 * day,
				"team": 30 * day},
		},
		"no number": {keys: map[string]string{"SNAPSHOT_EXPIRATION": "a week"},
			says: `SNAPSHOT_EXPIRATION_acme_desktop: "a week"`},
		"nothing":             {keys: map[string]string{"SNAPSHOT_EXPIRATION": ""}, says: "SNAPSHOT_EXPIRATION"},
		"zero days":           {keys: map[string]string{"TARGETS_EXPIRATION": "0"}, says: "TARGETS_EXPIRATION"},
		"half a day":          {keys: map[string]string{"TIMESTAMP_EXPIRATION": "0.5"}, says: "TIMESTAMP_EXPIRATION"},
		"more than there are": {keys: map[string]string{"TIMESTAMP_EXPIRATION": "200000"}, says: "TIMESTAMP_EXPIRATION"},
		"a delegated role's": {keys: map[string]string{"team_EXPIRATION": "-1"}, roles: []string{"team"},
			says: "team_EXPIRATION"},
		"of another role": {keys: map[string]string{"team_EXPIRATION": "-1"}, roles: []string{"snapshot"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := newInstallation(t, client)
			for _, other := range []string{"acme", "desktop", "acme_desktop2", "globex_desktop"} { // whose settings they are not
				in.set(t, "TIMESTAMP_EXPIRATION_"+other, "nonsense")
			}
			for key, value := range test.keys {
				in.set(t, key+"_acme_desktop", value)
			}
			before := in.repo.Read(t, in.repo.File("timestamp", 0))
			u := in.updater(t)
			now := time.Now()
			_, err := u.Roll(t.Context(), in.repo.App, test.roles)
			if test.err == nil && test.says == "" {
				require.NoError(t, err)
				status, err := u.Status(t.Context(), in.repo.App)
				require.NoError(t, err)
				for _, role := range status.Roles {
					if want, ok := test.validity[role.Role]; ok {
						assert.WithinRange(t, role.Expires, now.Add(want).Truncate(time.Second), time.Now().Add(want), role.Role)
					}
				}
			} else {
				require.ErrorContains(t, err, test.says)
				assert.Equal(t, before, in.repo.Read(t, in.repo.File("timestamp", 0)), "nothing is published")
				if test.err != nil {
					require.ErrorIs(t, err, test.err)
				}
			}
			in.refresh(t)
		})
	}
}

func TestAnotherTypeOfValueIsNotTakenForNone(t *testing.T) {
	client, _ := redisserver.Start(t)
	in := newInstallation(t, client)
	for _, key := range []string{"TARGETS_ONLINE_KEY_acme_desktop", "TIMESTAMP_EXPIRATION_acme_desktop"} {
		require.NoError(t, client.LPush(t.Context(), key, "x").Err())
		_, err := in.updater(t).Roll(t.Context(), in.repo.App, nil)
		require.ErrorContains(t, err, key)
		require.NoError(t, client.Del(t.Context(), key).Err())
	}
}

func TestAppsAreOwnerAndName(t *testing.T) {
	client, _ := redisserver.Start(t)
	for _, app := range []string{"acme", "acme/desktop/beta", "/desktop", "acme/"} {
		_, err := faynosync.Settings(client)(t.Context(), app)
		assert.ErrorIs(t, err, tufupdate.ErrInvalidApp, app)
	}
}

// A prefix of the bucket's URL is all that its layout needs.
func TestABucketIsLaidOutAsFaynosyncHasIt(t *testing.T) {
	client, _ := redisserver.Start(t)
	place := s3server.Start(t).Place()
	bucket := open(t, place.String())
	query := place.Query()
	query.Set("prefix", query.Get("prefix")+"tuf_metadata/")
	place.RawQuery = query.Encode()

	in := newInstallationIn(t, client, place.String())
	result, err := in.updater(t).Roll(t.Context(), in.repo.App, []string{"targets", "team"})
	require.NoError(t, err)
	in.refresh(t)
	names := []string{"1.root.json", "timestamp.json"}
	for _, role := range []string{"targets", "team", "snapshot"} {
		names = append(names, "1."+role+".json", fmt.Sprintf("%d.%s.json", result.Versions[role], role))
	}
	for _, name := range names {
		_, err := bucket.Get(t.Context(), "tuf_metadata/acme/desktop/"+name)
		assert.NoError(t, err, name)
	}
	for _, role := range []string{"targets", "team", "snapshot", "timestamp"} {
		assert.EqualValues(t, 2, result.Versions[role], role)
	}
}

// Without its Redis nothing is signed by default settings, and afterwards things go on.
func TestRedisDownIsNoDefault(t *testing.T) {
	server := redisserver.StartServer(t)
	in := newInstallation(t, redisserver.Connect(t, server.URL()))
	u := in.updater(t)
	_, err := u.Roll(t.Context(), in.repo.App, nil)
	require.NoError(t, err)
	before := in.repo.Read(t, in.repo.File("timestamp", 0))

	server.Stop()
	_, err = u.Roll(t.Context(), in.repo.App, nil)
	require.ErrorContains(t, err, "app acme/desktop: settings: redis: ")
	require.NotErrorIs(t, err, tufupdate.ErrNotBootstrapped)
	_, err = u.ForceOnline(t.Context(), in.repo.App, nil)
	require.ErrorContains(t, err, "redis: ")
	assert.Equal(t, before, in.repo.Read(t, in.repo.File("timestamp", 0)))

	require.NoError(t, server.Start(t))
	in.set(t, "BOOTSTRAP_acme_desktop", "done") // it has forgotten everything
	_, err = u.Roll(t.Context(), in.repo.App, nil)
	require.NoError(t, err)
	in.refresh(t)
}

// What faynoSync writes it writes over whatever is there. If it read before a roll was published,
// it takes that back under the same numbers. A server that knows what was there before signs
// nothing then, until it is started anew or faynoSync has signed again.
func TestARollThatFaynosyncOverwritesIsNotTakenForItsOwn(t *testing.T) {
	client, _ := redisserver.Start(t)
	in := newInstallation(t, client)
	other := in.repo.Copy(t)
	theirs, err := tufupdate.New(tufupdate.Config{
		Store: other.Store, Keys: other.Provider(t), Roots: tufupdate.PinnedRoot(other.Root),
		Logger: slog.New(slog.DiscardHandler),
		Settings: func(context.Context, string) (tufupdate.Settings, error) {
			return tufupdate.Settings{Validity: map[string]time.Duration{"snapshot": time.Hour, "timestamp": time.Hour}}, nil
		},
	})
	require.NoError(t, err)
	overwrite := func(version int64) {
		result, err := theirs.Roll(t.Context(), in.repo.App, nil)
		require.NoError(t, err)
		require.Equal(t, version, result.Versions["timestamp"])
		for _, file := range []string{other.File("snapshot", result.Versions["snapshot"]), other.File("timestamp", 0)} {
			in.repo.Overwrite(t, file, other.Read(t, file))
		}
		in.refresh(t)
	}
	u := in.updater(t)
	_, err = u.Roll(t.Context(), in.repo.App, nil)
	require.NoError(t, err)
	witness := testrepo.NewClient(t, in.repo.Store, in.repo.App, in.repo.Root, true)
	require.NoError(t, witness.Refresh())

	overwrite(2)
	before := in.repo.Read(t, in.repo.File("timestamp", 0))
	_, err = u.Roll(t.Context(), in.repo.App, nil)
	require.ErrorContains(t, err, "version 2 is remembered with other content")
	assert.Equal(t, before, in.repo.Read(t, in.repo.File("timestamp", 0)))

	restarted, err := in.updater(t).Roll(t.Context(), in.repo.App, nil)
	require.NoError(t, err)
	assert.EqualValues(t, 3, restarted.Versions["timestamp"])
	in.refresh(t)
	require.NoError(t, witness.Refresh(), "clients that had seen what was taken back go on")

	overwrite(3)
	overwrite(4)
	last, err := u.Roll(t.Context(), in.repo.App, nil)
	require.NoError(t, err, "what is newer is no contradiction")
	assert.EqualValues(t, 5, last.Versions["timestamp"])
	require.NoError(t, witness.Refresh())
}

func TestAMirrorIsATaskStore(t *testing.T) {
	client, _ := redisserver.Start(t)
	taskstest.Run(t, taskstest.Harness{Retries: true, Open: func(_ testing.TB, capacity int) func() tasks.Store {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
		mirror := faynosync.NewMirror(m, client, faynosync.MirrorOptions{})
		return func() tasks.Store { return mirror }
	}})
}

func TestAMirrorOfADurableTaskStoreIsOne(t *testing.T) {
	client, _ := redisserver.Start(t)
	taskstest.Run(t, taskstest.Harness{Unbounded: true, Retries: true, Open: func(t testing.TB, _ int) func() tasks.Store {
		path := filepath.Join(t.TempDir(), "tasks.db")
		return func() tasks.Store {
			store, err := riversqlite.Open(t.Context(), path, rivertasks.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, store.Close()) })
			return faynosync.NewMirror(store, client, faynosync.MirrorOptions{})
		}
	}})
}

// A redisTask is what task:<id> holds.
type redisTask struct {
	State  string
	Result *struct {
		Message    string
		Status     bool
		Task       string
		LastUpdate string `json:"last_update"`
		Error      string
		Details    struct {
			UpdatedRoles []string `json:"updated_roles"`
		}
	}
}

func readTask(t *testing.T, client *redis.Client, id string) (got redisTask) {
	t.Helper()
	data, err := client.Get(t.Context(), "task:"+id).Bytes()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &got))
	left, err := client.TTL(t.Context(), "task:"+id).Result()
	require.NoError(t, err)
	assert.InDelta(t, tasks.Retention, left, float64(time.Minute))
	return got
}

func TestAMirrorShowsHowFarATaskIs(t *testing.T) {
	client, _ := redisserver.Start(t)
	for name, test := range map[string]struct {
		work  func() (tasks.Result, error)
		state string
		says  string
	}{
		"success": {func() (tasks.Result, error) { return tasks.Result{Roles: []string{"timestamp"}}, nil }, "SUCCESS", ""},
		"failure": {func() (tasks.Result, error) { return tasks.Result{}, errors.New("no such key") }, "FAILURE",
			"no such key"},
		"panic": {func() (tasks.Result, error) { panic("oh no") }, "FAILURE", "panic: oh no"},
		"last time": {func() (tasks.Result, error) { return tasks.Result{}, tasks.Temporary(errors.New("store is down")) },
			"FAILURE", "store is down"},
	} {
		t.Run(name, func(t *testing.T) {
			store := tasks.NewMemory(tasks.MemoryOptions{MaxAttempts: 1})
			mirror := faynosync.NewMirror(store, client, faynosync.MirrorOptions{})
			id := uuid.NewString()
			require.NoError(t, mirror.Add(t.Context(), tasks.Task{ID: id, App: "acme/desktop", Roles: []string{"timestamp"}}))
			assert.Equal(t, redisTask{State: "PENDING"}, readTask(t, client, id))

			started, release := make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			running := make(chan error, 1)
			go func() {
				running <- mirror.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) {
					close(started)
					<-release
					return test.work()
				})
			}()
			<-started
			assert.Equal(t, redisTask{State: "STARTED"}, readTask(t, client, id))
			close(release)
			cancel()
			require.NoError(t, <-running)

			got := readTask(t, client, id)
			assert.Equal(t, test.state, got.State)
			require.NotNil(t, got.Result)
			assert.Equal(t, test.state == "SUCCESS", got.Result.Status)
			assert.Equal(t, "force_online_metadata_update", got.Result.Task)
			assert.Equal(t, test.says, got.Result.Error)
			if test.state == "SUCCESS" {
				assert.Equal(t, []string{"timestamp"}, got.Result.Details.UpdatedRoles)
			}
			kept, err := mirror.Get(t.Context(), id)
			require.NoError(t, err)
			assert.EqualValues(t, test.state, kept.State)
		})
	}
}

// docs/faynosync.md, followed to the letter on an installation.
func TestTheGuideForFaynosyncWorks(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		require.Empty(t, os.Getenv("TUF_TEST_REQUIRE"), "redis-cli is missing")
		t.Skip("NOT TESTED: the guide, without redis-cli")
	}
	client, redisURL := redisserver.Start(t)
	in := newInstallation(t, client)
	in.set(t, "TIMESTAMP_EXPIRATION_acme_desktop", "3")
	guide, err := os.ReadFile("../docs/faynosync.md")
	require.NoError(t, err)
	var script strings.Builder
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(guide, -1)
	require.Greater(t, len(blocks), 4)
	for _, block := range blocks {
		script.Write(block[1])
	}
	secret := strings.Repeat("s", 32)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": "acme", "role": "admin", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString([]byte(secret))
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	repository, err := filepath.Abs("..")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "bash", "-eux", "-o", "pipefail", "-c", script.String())
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SOURCE="+repository, "REDIS="+redisURL, "BUCKET="+in.bucket, "KEYS="+in.keys,
		"APP=acme/desktop",
		"TUF_JWT_SECRET="+secret, "TOKEN="+token, "ADDRESS="+address)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	t.Logf("%s", output)

	in.refresh(t)
	status, err := in.updater(t).Status(t.Context(), in.repo.App)
	require.NoError(t, err)
	assert.Greater(t, status.Roles[1].Version, int64(1))
	assert.Contains(t, string(output), `"state":"SUCCESS"`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/healthz", nil)
	require.NoError(t, err)
	_, err = http.DefaultClient.Do(request)
	require.Error(t, err, "the guide ends with the server stopped")
}
