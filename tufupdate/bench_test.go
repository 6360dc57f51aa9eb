package tufupdate_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tufupdate"
)

// Each benchmark of rolls measures ours, then in the same run go-tuf's object model doing the same,
// and gives how many times as long that takes.

func BenchmarkTargets(b *testing.B) {
	for _, kind := range []string{testrepo.Ed25519, testrepo.ECDSA} {
		for _, n := range []int{10, 1_000, 100_000, 1_000_000} {
			if kind != testrepo.Ed25519 && n > 100_000 {
				continue
			}
			repo := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Keys: map[string]string{
				"targets": kind, "snapshot": kind, "timestamp": kind,
			}})
			putTargets(b, repo, kind, n, nil)
			for _, cold := range []bool{true, false} {
				b.Run(fmt.Sprintf("%s/%d/%s", kind, n, temperature(cold)),
					func(b *testing.B) { compare(b, repo, repo.Store, cold, true) })
			}
		}
	}
}

// With as many versions of everything in the store.
func BenchmarkDelay20ms(b *testing.B) {
	for _, versions := range []int{1, 100, 5_000} {
		repo := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		u := signingUpdater(b, repo, repo.Store)
		for range versions - 1 {
			roll(b, u, repo)
		}
		slow := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
			time.Sleep(20 * time.Millisecond)
			return storagetest.Fault{}
		})
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d versions/%s", versions, temperature(cold)),
				func(b *testing.B) { compare(b, repo, slow, cold, true) })
		}
	}
}

func BenchmarkSnapshotOf16384(b *testing.B) {
	repo := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 14})
	for _, cold := range []bool{true, false} {
		b.Run(temperature(cold), func(b *testing.B) { compare(b, repo, repo.Store, cold, false) })
	}
}

// Small apps in turn, all three roles, by as many goroutines as there are processors.
func BenchmarkApps(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := storage.NewMemory(storage.MemoryOptions{})
			provider := keys.NewMemory()
			one := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			apps := make([]string, n)
			for i := range apps {
				apps[i] = fmt.Sprintf("acme/app%d", i)
				copyRepo(b, one, store, apps[i])
				addKeys(b, provider, one, apps[i])
			}
			idle := heap()
			u, err := tufupdate.New(tufupdate.Config{Store: store, Keys: provider, Roots: tufupdate.PinnedRoot(one.Root),
				Logger: discard})
			require.NoError(b, err)
			for _, app := range apps {
				_, err := u.Roll(b.Context(), app, nil)
				require.NoError(b, err)
			}
			perApp := (heap() - idle) / float64(n)
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := u.Roll(b.Context(), apps[int(next.Add(1))%n], nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rolls/s")
			b.ReportMetric(perApp, "B/app")
		})
	}
}

// copyRepo puts a repository under another name.
func copyRepo(b testing.TB, repo *testrepo.Repo, store storage.Store, app string) {
	b.Helper()
	for name, data := range files(b, repo) {
		_, err := store.Create(b.Context(), app+name[len(repo.App):], []byte(data))
		require.NoError(b, err)
	}
}

// heap returns how many bytes are in use. Of an app that was rolled once, its files in the memory
// store are among them.
func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

func temperature(cold bool) string {
	if cold {
		return "cold"
	}
	return "warm"
}

// compare measures rolls of the default roles, or of the snapshot only.
func compare(b *testing.B, repo *testrepo.Repo, store storage.Store, cold, targets bool) {
	roles := []string{"snapshot"}
	if targets {
		roles = nil
	}
	u := signingUpdater(b, repo, store)
	_, err := u.Roll(b.Context(), repo.App, roles)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if cold {
			u = signingUpdater(b, repo, store)
		}
		_, err := u.Roll(b.Context(), repo.App, roles)
		require.NoError(b, err)
	}
	ours := b.Elapsed() / time.Duration(b.N)
	b.StopTimer()
	o := newObjectModel(b, store, repo)
	start, rounds := time.Now(), 0
	for ; rounds == 0 || rounds < 20 && time.Since(start) < time.Second; rounds++ {
		require.NoError(b, o.roll(b.Context(), targets))
	}
	objects := time.Since(start) / time.Duration(rounds)
	b.ReportMetric(float64(objects.Microseconds())/1000, "object-model-ms")
	b.ReportMetric(float64(objects)/float64(ours), "times-as-fast")
}

func signingUpdater(b testing.TB, repo *testrepo.Repo, store storage.Store) *tufupdate.Updater {
	b.Helper()
	provider := keys.NewMemory()
	addKeys(b, provider, repo, repo.App)
	u, err := tufupdate.New(tufupdate.Config{
		Store: store, Keys: provider, Logger: discard,
		Roots: tufupdate.PinnedRoot(repo.Root),
	})
	require.NoError(b, err)
	return u
}

func addKeys(b testing.TB, provider *keys.Memory, repo *testrepo.Repo, app string) {
	b.Helper()
	for _, role := range []string{"targets", "snapshot", "timestamp", "bin"} {
		for _, k := range repo.Keys[role] {
			s, err := keys.NewSigner(k.Private, k.Public.Scheme)
			require.NoError(b, err)
			provider.Add(app, k.ID, s)
		}
	}
}

// putTargets uploads version 2 of targets with n target files, in the form that go-tuf writes or in
// another layout. Go-tuf itself would take long.
func putTargets(b testing.TB, repo *testrepo.Repo, kind string, n int, layout func([]byte) []byte) {
	b.Helper()
	var signed bytes.Buffer
	fmt.Fprintf(&signed, `{"_type":"targets","expires":%q,"spec_version":"1.0.31","targets":{`,
		time.Now().UTC().AddDate(0, 0, 9).Format(time.RFC3339))
	for i := range n {
		if i > 0 {
			signed.WriteByte(',')
		}
		fmt.Fprintf(&signed, `"path/to/target-%07d":{"hashes":{"sha256":"%064x"},"length":%d}`, i, i, i+1)
	}
	signed.WriteString(`},"version":2}`)
	k := repo.Keys["targets"][0]
	message, opts := signed.Bytes(), crypto.Hash(0)
	if kind != testrepo.Ed25519 {
		h := crypto.SHA256.New()
		h.Write(message)
		message, opts = h.Sum(nil), crypto.SHA256
	}
	sig, err := k.Private.Sign(nil, message, opts)
	require.NoError(b, err)
	file := fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":%q}],"signed":%s}`, k.ID, hex.EncodeToString(sig),
		signed.Bytes())
	if layout != nil {
		file = layout(file)
	}
	_, err = repo.Store.Create(b.Context(), repo.File("targets", 2), file)
	require.NoError(b, err)
	roll(b, newUpdater(b, repo, repo.Provider(b, "targets")), repo) // takes it in
}
