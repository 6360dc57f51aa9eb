package tufupdate_test

import (
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/internal/simulation"
)

var (
	histories = flag.Int("histories", 2000, "how many histories the judge makes and judges")
	seed      = flag.Uint64("seed", 1, "the seed of the first of them")
	lasting   = flag.Duration("lasting", 2*time.Minute, "the time after which no more are begun")
	first     = flag.Bool("first", false, "stop at the first complaint")
	ignored   = flag.String("ignored", "", "kinds of complaints that are not made, with commas")
	shown     = flag.Int("shown", 3, "how many complaints of a kind are shown")
	shrinking = flag.Int("shrinking", 300, "how many shorter histories are tried for a complaint")
)

// No online key signs what nobody entitled had said, no client is taken back, and no app gets
// stuck. Package simulation makes the histories, of consecutive seeds, and its judge judges them. A
// complaint is printed as a short history.
func TestJudge(t *testing.T) {
	began := time.Now()
	var mu sync.Mutex
	figures := struct{ histories, steps, signatures int }{}
	found := map[string][]judged1{}
	excuses := map[string]int{}
	next, end := *seed, *seed+uint64(*histories)
	if withRace {
		end = min(end, *seed+200)
	}
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		stop := time.Since(began) > *lasting || next >= end || *first && len(found) > 0
		next++
		return next - 1, !stop
	}
	t.Run("histories", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for s, ok := take(); ok; s, ok = take() {
					h, w := made(t, s)
					mu.Lock()
					figures.histories++
					figures.steps += len(h.Steps)
					figures.signatures += w.Signatures()
					for why, n := range w.Excuses() {
						excuses[why] += n
					}
					if c := w.Found(); len(c) > 0 {
						found[c[0].Kind] = append(found[c[0].Kind], judged1{s, c[0], h, figures.histories})
					}
					mu.Unlock()
				}
			})
		}
	})
	n := 0
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		n += len(found[kind])
		for i, c := range found[kind] {
			if i >= *shown {
				t.Logf("%s: %d more", kind, len(found[kind])-i)
				break
			}
			h := simulation.Shrink(c.history, *shrinking, func(h simulation.History) bool {
				return slices.ContainsFunc(relived(t, h), c.complaint.Like)
			})
			text := simulation.Format([]simulation.History{h})
			assert.Fail(t, c.complaint.String(), "seed %d, history %d:\n%s", c.seed, c.nth, text)
		}
	}
	seconds := time.Since(began).Seconds()
	t.Logf("%d histories, %d steps, %d signatures, %d complaints, %.0f s", figures.histories, figures.steps,
		figures.signatures, n, seconds)
	for _, why := range slices.Sorted(maps.Keys(excuses)) {
		t.Logf("excused %d times: %s", excuses[why], why)
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, len(found[kind])))
	}
	if n > 0 {
		t.Logf("complaints: %s", strings.Join(kinds, ", "))
	}
}

// A judged1 is the first complaint of a history.
type judged1 struct {
	seed      uint64
	complaint simulation.Complaint
	history   simulation.History
	nth       int
}

// made makes a history and lives it.
func made(t *testing.T, seed uint64) (h simulation.History, w *simulation.World) {
	synctest.Test(t, func(t *testing.T) {
		h, w = simulation.Live(t, seed, strings.Split(*ignored, ",")...)
		w.End()
	})
	return h, w
}

// relived lives a history and returns the judge's complaints.
func relived(t *testing.T, h simulation.History) (found []simulation.Complaint) {
	synctest.Test(t, func(t *testing.T) {
		w, err := simulation.Relive(t, h, strings.Split(*ignored, ",")...)
		if err == nil {
			found = w.Found()
		}
		w.End()
	})
	return found
}
