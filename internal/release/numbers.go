package release

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/storage"
)

// numbers are versions that are in use, although nothing published leads there. Another writer has
// crashed, or is about to publish. A number is skipped only if nothing is published for a while.
// Where something is, the writer is alive, and the next number is the one after what it published.
type numbers struct {
	mu      sync.Mutex
	since   storage.Version  // of the published timestamp; the next three are since then
	met     map[string]int64 // what was in the way of the last attempt, by role
	skipped map[string]int64 // the highest to skip, by role
	steps   map[string]int   // how often one was skipped

	written map[string]int64 // the highest that attempts of this roll have written, by role
	others  bool             // a number was in the way
}

// meet notes that a version is in use.
func (n *numbers) meet(role string, version int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.others = true
	note(&n.met, role, version)
}

// write notes that this roll has used a version. If the roll has to begin again, the version is
// left behind, and nobody has to be waited for.
func (n *numbers) write(role string, version int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	note(&n.written, role, version)
}

func note(versions *map[string]int64, role string, version int64) {
	if *versions == nil {
		*versions = map[string]int64{}
	}
	(*versions)[role] = max((*versions)[role], version)
}

// contended reports whether a number was in the way of this roll.
func (n *numbers) contended() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.others
}

// follow begins an attempt that follows a published timestamp, and reports whether numbers were in
// the way of the last attempt, and nothing was published since.
func (n *numbers) follow(timestamp storage.Version) (inTheWay bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since != timestamp {
		n.since, n.met, n.skipped, n.steps = timestamp, nil, nil, nil
	}
	return len(n.met) > 0
}

// skip skips the numbers that were in the way of the last attempt. The first time it goes one
// further, then up to two, then up to four: many files in the way do not hold a roll up for long.
// Chance decides how far, so that a roll does not meet the files of another writer that went the
// same way.
func (n *numbers) skip() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.steps == nil {
		n.steps = map[string]int{}
	}
	for role, version := range n.met {
		note(&n.skipped, role, version+rand.Int64N(1<<min(n.steps[role], 30)))
		n.steps[role]++
	}
	n.met = nil
}

// after returns the highest version of a role to skip.
func (n *numbers) after(role string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(n.skipped[role], n.written[role])
}

// The pauses of a writer that lets another one publish, together some 200 milliseconds: more than
// the other one needs between its snapshot and its timestamp, and what a crash costs.
const (
	yields     = 3
	firstYield = 40 * time.Millisecond // or as little as half; doubles each time
)

// yield lets another writer publish whose numbers were in the way of the last attempt. If it does,
// the error wraps storage.ErrConflict. Otherwise the numbers are what a crash has left, and are
// skipped.
func (r *Roll) yield(ctx context.Context, timestamp *repofiles.File) error {
	if !r.numbers.follow(timestamp.Stored) {
		return nil
	}
	for n := range yields {
		longest := firstYield << n
		if err := sleep(ctx, longest/2+rand.N(longest/2)); err != nil {
			return err
		}
		object, err := r.Store.Get(ctx, timestamp.Name)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("reading %s: %w", timestamp.Name, err)
		}
		if object.Version != timestamp.Stored {
			return fmt.Errorf("%s: another writer was faster: %w", timestamp.Name, storage.ErrConflict)
		}
	}
	r.numbers.skip()
	return nil
}
