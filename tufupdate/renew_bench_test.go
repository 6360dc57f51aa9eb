package tufupdate_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// BenchmarkRound is a look at 10,000 apps that renewal takes: the first one, which reads and
// verifies everything, and the next, which finds nothing changed.
func BenchmarkRound(b *testing.B) {
	const apps = 10_000
	store := storage.NewMemory(storage.MemoryOptions{})
	later := time.Now().AddDate(0, 0, 80) // nothing is due
	repo := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Expires: map[string]time.Time{
		"root": later, "targets": later, "snapshot": later, "timestamp": later,
	}})
	var names []string
	for i := range apps {
		app := fmt.Sprintf("acme/app%d", i)
		names = append(names, app)
		copyRepo(b, repo, store, app)
	}
	var first, next time.Duration
	for b.Loop() {
		var rounds []tufupdate.Renewal
		u, err := tufupdate.New(tufupdate.Config{
			Store: store, Keys: sameKeys{repo.Provider(b), repo.App}, Roots: tufupdate.PinnedRoot(repo.Root),
			Logger: discard,
			Renew: &tufupdate.Renew{Every: time.Millisecond, Look: time.Microsecond,
				Apps: func(context.Context) ([]string, error) { return names, nil }},
		})
		require.NoError(b, err)
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- u.Run(ctx) }()
		for len(rounds) < 2 {
			time.Sleep(time.Millisecond)
			last := u.Renewal()
			if n := len(rounds); !last.Ended.IsZero() && (n == 0 || rounds[n-1].Began != last.Began) && last.Looked > 0 {
				require.Zero(b, last.Failed)
				rounds = append(rounds, last)
			}
		}
		cancel()
		require.NoError(b, <-done)
		first += rounds[0].Ended.Sub(rounds[0].Began)
		next += rounds[1].Ended.Sub(rounds[1].Began)
	}
	b.ReportMetric(first.Seconds()/float64(b.N), "s/first-round")
	b.ReportMetric(next.Seconds()/float64(b.N), "s/next-round")
	b.ReportMetric(0, "ns/op")
}
