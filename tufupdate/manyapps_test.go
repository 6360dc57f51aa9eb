package tufupdate_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

var manyApps = flag.Int("apps", 1000, "how many apps TestManyAppsCostInProportion renews, and then twice as many")

// alike is a store of many apps that begin as copies of one repository. It keeps what was written
// since.
type alike struct {
	*storage.Memory
	template map[string][]byte // by the name below the app
	requests *atomic.Int64
}

func (a alike) Get(ctx context.Context, key string) (storage.Object, error) {
	a.requests.Add(1)
	object, err := a.Memory.Get(ctx, key)
	if err == nil {
		return object, nil
	}
	if data, ok := a.template[key[strings.LastIndexByte(key, '/')+1:]]; ok {
		return storage.Object{Data: append([]byte{}, data...), Version: "template"}, nil
	}
	return object, err
}

func (a alike) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	a.requests.Add(1)
	return a.Memory.Create(ctx, key, data)
}

func (a alike) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	a.requests.Add(1)
	if old == "template" {
		old = storage.Absent
	}
	return a.Memory.Replace(ctx, key, old, data)
}

// An upkeep is what looking after apps for a day costs.
type upkeep struct {
	requests, rolls float64 // for an app
	heap            float64 // bytes for an app, without its files
	processor       time.Duration
}

// manyCost looks after apps of which one in a hundred is due each hour.
func manyCost(t *testing.T, apps int) (c upkeep) {
	synctest.Test(t, func(t *testing.T) {
		validity := 182 * time.Hour
		far := time.Now().AddDate(1, 0, 0)
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Expires: map[string]time.Time{
			"root": far, "targets": far, "snapshot": far, "timestamp": time.Now().Add(validity),
		}})
		requests := &atomic.Int64{}
		store := alike{storage.NewMemory(storage.MemoryOptions{}), map[string][]byte{}, requests}
		for name, data := range files(t, repo) {
			store.template[name[len(repo.App)+1:]] = []byte(data)
		}
		names := make([]string, apps)
		for i := range names {
			names[i] = fmt.Sprintf("acme/app%d", i)
		}
		before, spent := heap(), processorTime(t)
		var rolls atomic.Int64
		u, err := tufupdate.New(tufupdate.Config{
			Store: store, Keys: sameKeys{countedKeys{repo.Provider(t), &rolls}, repo.App},
			Roots: tufupdate.PinnedRoot(repo.Root), Logger: discard, CacheSize: 1 << 20,
			Settings: func(context.Context, string) (tufupdate.Settings, error) {
				return tufupdate.Settings{Validity: map[string]time.Duration{
					"timestamp": validity, "snapshot": 9000 * time.Hour, "targets": 9000 * time.Hour,
				}}, nil
			},
			// Of copies of one document, chance spreads when they are due.
			Renew: &tufupdate.Renew{Jitter: 0.4, Apps: func(context.Context) ([]string, error) { return names, nil }},
		})
		require.NoError(t, err)
		stop := run(t, u)
		time.Sleep(24 * time.Hour)
		first := requests.Load()
		time.Sleep(24 * time.Hour)
		require.NoError(t, u.Ready())
		require.Zero(t, u.Renewal().Failed)
		c.requests = float64(requests.Load()-first) / float64(apps)
		stop()
		c.processor = processorTime(t) - spent
		store.Memory, c.rolls = nil, float64(rolls.Load())/float64(apps)/2
		c.heap = (heap() - before) / float64(apps)
		_ = u.Renewal()
	})
	return c
}

// countedKeys counts how often a key is asked for by a roll of the timestamp.
type countedKeys struct {
	keys.Provider
	signed *atomic.Int64
}

func (k countedKeys) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	s, err := k.Provider.Signer(ctx, req)
	return countedSigner{s, k.signed}, err
}

type countedSigner struct {
	keys.Signer
	signed *atomic.Int64
}

func (s countedSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.signed.Add(1)
	return s.Signer.Sign(ctx, message)
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// What looking after apps costs grows as their number does.
func TestManyAppsCostInProportion(t *testing.T) {
	apps := *manyApps
	if withRace {
		apps = min(apps, 100)
	}
	one, two := manyCost(t, apps), manyCost(t, 2*apps)
	for _, c := range []upkeep{one, two} {
		t.Logf("for an app and day: %.1f requests, %.2f rolls; %.0f bytes; processor time for two days of all: %v", c.requests,
			c.rolls, c.heap, c.processor.Round(time.Second))
	}
	if !withRace { // of so few, chance decides
		assert.InEpsilon(t, one.requests, two.requests, 0.1)
	}
	assert.Less(t, two.requests, 12+20*two.rolls)
}
