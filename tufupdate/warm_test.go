package tufupdate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

func TestAThousandRequestsForOneAppShareFourRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		slow := slowStore(repo)
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		defer run(t, u)()
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				accepted, err := u.ForceOnline(t.Context(), repo.App, nil)
				if !assert.NoError(t, err) {
					return
				}
				at := versionOf(t, string(repo.Read(t, repo.File("timestamp", 0))))
				task, err := u.Wait(t.Context(), accepted.ID)
				assert.NoError(t, err)
				assert.Equal(t, tasks.StateSuccess, task.State, task.Result.Error)
				assert.Greater(t, task.Result.Versions["timestamp"], at, "published after it was accepted")
			})
		}
		group.Wait()
		rolls := 0
		for _, c := range slow.Calls() {
			if c.Verb == storagetest.Replace {
				rolls++
			}
		}
		assert.LessOrEqual(t, rolls, 4)
	})
}

func TestASlowOrFailingAppHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage.NewMemory(storage.MemoryOptions{})
		good := testrepo.New(t, store, testrepo.Options{App: "acme/good"})
		bad := testrepo.New(t, store, testrepo.Options{App: "acme/bad"})
		mixed := storagetest.NewFlaky(store, func(c storagetest.Call) storagetest.Fault {
			return storagetest.Fault{Hang: c.Key == bad.File("timestamp", 0)}
		})
		u := newUpdater(t, good, good.Provider(t), pinning(good, bad), func(c *tufupdate.Config) { c.Store = mixed })
		hanging, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				_, err := u.Roll(hanging, bad.App, nil)
				assert.Error(t, err)
			})
		}
		synctest.Wait()
		start := time.Now()
		for range 100 {
			roll(t, u, good)
		}
		assert.Equal(t, start, time.Now(), "no time has passed")
		cancel()
		group.Wait()
	})
}

// What is remembered of many apps stays within its bound, and no goroutine is left for an app that
// is idle.
func TestManyAppsTakeBoundedMemory(t *testing.T) {
	one := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	store := storage.NewMemory(storage.MemoryOptions{})
	const apps = 300
	for i := range apps {
		copyRepo(t, one, store, fmt.Sprintf("acme/app%d", i))
	}
	slow := storagetest.NewFlaky(store, nil)
	u := newUpdater(t, one, nil, pin(one.Root), func(c *tufupdate.Config) {
		c.Store, c.Keys, c.CacheSize = slow, sameKeys{one.Provider(t), one.App}, 1<<20
	})
	before := runtime.NumGoroutine()
	for i := range apps {
		_, err := u.Roll(t.Context(), fmt.Sprintf("acme/app%d", i), nil)
		require.NoError(t, err)
	}
	calls := func(app int) int {
		n := len(slow.Calls())
		_, err := u.Roll(t.Context(), fmt.Sprintf("acme/app%d", app), nil)
		require.NoError(t, err)
		return len(slow.Calls()) - n
	}
	assert.Equal(t, 4, calls(apps-1), "the last one is remembered")
	assert.Equal(t, 9, calls(0), "the first one is not")
	for runtime.NumGoroutine() > before {
		runtime.Gosched() // those that have just finished
	}
}

// sameKeys has the keys of one app for all.
type sameKeys struct {
	keys.Provider
	app string
}

func (k sameKeys) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	req.App = k.app
	return k.Provider.Signer(ctx, req)
}

// A file of n bytes is rolled without objects for each target, and within these multiples of n,
// what the store copies not counted.
func TestAllocationsOfARollGoByTheSizeOfTheFile(t *testing.T) {
	for name, layout := range map[string]func([]byte) []byte{
		"compact": func(file []byte) []byte { return file },
		"pretty": func(file []byte) []byte {
			var out []byte
			var md map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(file, &md))
			out, err := json.MarshalIndent(md, "", " ")
			require.NoError(t, err)
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			putTargets(t, repo, testrepo.Ed25519, 20_000, layout)
			store := &lending{Memory: repo.Store.(*storage.Memory)}
			u := signingUpdater(t, repo, store)
			n := float64(len(repo.Read(t, repo.File("targets", 2))))
			allocated := func() (bytes, objects float64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := u.Roll(t.Context(), repo.App, nil)
				require.NoError(t, err)
				runtime.ReadMemStats(&after)
				return float64(after.TotalAlloc - before.TotalAlloc), float64(after.Mallocs - before.Mallocs)
			}
			cold, _ := allocated()
			warm, objects := allocated()
			t.Logf("%s, %.0f bytes: %.2f n cold, %.2f n warm, %.0f objects warm", name, n, cold/n, warm/n, objects)
			assert.LessOrEqual(t, cold, 6*n)
			assert.LessOrEqual(t, warm, 3*n)
			assert.Less(t, objects, 5_000.0)
		})
	}
}

// lending is a store that lends what it holds instead of copying it.
type lending struct {
	*storage.Memory
	mu      sync.Mutex
	objects map[string]storage.Object
}

func (s *lending) Get(ctx context.Context, key string) (storage.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if object, ok := s.objects[key]; ok {
		return object, nil
	}
	return s.Memory.Get(ctx, key)
}

func (s *lending) Create(_ context.Context, key string, data []byte) (storage.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[string]storage.Object{}
	}
	s.objects[key] = storage.Object{Data: data, Version: "1"}
	return "1", nil
}
