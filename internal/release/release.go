// Package release makes and publishes the next release of an app: it loads what is published,
// plans, signs, checks the result as a client would, and writes it.
//
// It is the only package that signs and writes. What it signs over comes from package published.
package release

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// ErrConflict says that other writers won every time.
var ErrConflict = errors.New("other writers were faster every time")

// maxAttempts bounds how often a roll begins again. Each time, another writer has published, or a
// number was skipped.
const maxAttempts = 40

// parallel is how many documents are signed, or files written, at the same time.
const parallel = 32

// A Validity says how long the successor of a document is to be valid. bins is the prefix of the
// delegation's bins if the role is one of them, else "".
type Validity func(ctx context.Context, role *tufmeta.Role, bins string, d *tufmeta.Verified) (time.Duration, error)

// A Roll signs and publishes new versions of some roles of one app, through as many attempts as
// other writers make necessary. It is for one use.
type Roll struct {
	Loader
	Roles    []string // see published.Unique
	Validity Validity

	// Restart, if not nil, is called with the reason before an attempt after the first.
	Restart func(attempt int, reason error)

	numbers   numbers
	uncertain bool   // a write of a name that changes may have landed or not
	committed string // the timestamp that an attempt has written, only to find that it has to begin again
}

// An Outcome is what a roll has published.
type Outcome struct {
	Published []*tufmeta.Verified // in the order of publishing
	Warnings  []string
}

// Run rolls until it has published or failed. It begins with what is remembered of the app. If that
// leads nowhere, whatever the reason, it goes by what the store holds. An error wraps ErrConflict
// if other writers won every time.
func (r *Roll) Run(ctx context.Context) (Outcome, error) {
	set := r.Remembered()
	for attempt := 0; attempt < maxAttempts; attempt++ {
		if err := pause(ctx, attempt); err != nil {
			return Outcome{}, err
		}
		outcome, err := r.attempt(ctx, set)
		switch {
		case err == nil:
			return outcome, nil
		case set.Trusting() && !r.uncertain && ctx.Err() == nil:
			attempt-- // it was to save time
		case !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrExists):
			return Outcome{}, r.failed(err)
		}
		if r.Restart != nil {
			r.Restart(attempt+1, err)
		}
		set = set.Again()
	}
	return Outcome{}, r.failed(fmt.Errorf("gave up after %d attempts: %w", maxAttempts, ErrConflict))
}

// failed forgets the app, and returns err with what an earlier attempt may have published all the
// same.
func (r *Roll) failed(err error) error {
	r.Memory.Forget(r.App)
	if r.committed != "" {
		return fmt.Errorf("after writing %s: %w", r.committed, err)
	}
	return err
}

// pause waits before an attempt: a random while, up to twice as long each time, so that writers get
// out of each other's step.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(rand.N(min(time.Second, time.Millisecond<<attempt)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt loads, plans, signs, checks and publishes. The store's ErrConflict and ErrExists mean
// that the roll should begin again.
func (r *Roll) attempt(ctx context.Context, set *repofiles.Set) (Outcome, error) {
	depth := published.ToTargets
	if published.IsTimestampOnly(r.Roles) {
		depth = published.ToSnapshot
	}
	repo, err := r.Load(ctx, set, published.Input{Roles: r.Roles, Depth: depth})
	if err != nil {
		return Outcome{}, err
	}
	if repo.Derived != nil && set.Trusting() { // what takes its place must not come from what was cached
		return Outcome{}, repo.Derived
	}
	plan, err := r.plan(ctx, repo)
	if err != nil {
		return Outcome{}, err
	}
	rel, err := plan.sign(ctx, repo)
	if err != nil {
		return Outcome{}, err
	}
	if err := rel.check(repo); err != nil {
		return Outcome{}, fmt.Errorf("checking what was signed: %w", err)
	}
	written, err := r.publish(ctx, set, repo, rel)
	if err != nil {
		return Outcome{}, err
	}
	r.Memory.Commit(r.App, stateAfter(set, repo, rel, written))
	outcome := Outcome{Warnings: slices.Concat(repo.Ignored(), repo.Warnings, rel.warnings)}
	if err := r.remember(ctx, repo, rel); err != nil {
		outcome.Warnings = append(outcome.Warnings, fmt.Sprintf("what was published is not remembered: %v", err))
	}
	for _, c := range rel.changes() {
		outcome.Published = append(outcome.Published, c.new)
	}
	return outcome, nil
}

// rememberTimeout bounds the writing of memory. The release is out by then.
const rememberTimeout = 10 * time.Second

// remember writes down what a release has published, so that nothing older is signed again.
func (r *Roll) remember(ctx context.Context, repo *published.Repository, rel *release) error {
	var marks repofiles.Marks
	marks.Note(repo.Root().Verified)
	documents := []*tufmeta.Verified{repo.Snapshot.Verified()} // which a timestamp by itself leads to
	for _, c := range rel.changes() {
		documents = append(documents, c.new)
	}
	for _, d := range repo.Newly() {
		documents = append(documents, d.Verified())
	}
	for _, v := range documents {
		if v != nil && !v.Believed() && repo.Pins(v.Role().Name) {
			marks.Note(v)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	return r.Record.Write(ctx, r.App, marks)
}

// numbers are versions that are in use, although nothing published leads there: another writer has
// crashed, or is about to win.
type numbers struct {
	mu    sync.Mutex
	taken map[string]int64 // the highest to skip, by role
	steps map[string]int   // how often one was skipped
}

// skip notes that a version is in use. The next attempt goes one further, the one after that up to
// two, then up to four: many files in the way do not hold a roll up for long. Chance decides how
// far, so that a roll does not meet the files of another writer that went the same way.
func (n *numbers) skip(role string, version int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.taken == nil {
		n.taken, n.steps = map[string]int64{}, map[string]int{}
	}
	n.taken[role] = version + rand.Int64N(1<<min(n.steps[role], 30))
	n.steps[role]++
}

// after returns the highest version of a role to skip.
func (n *numbers) after(role string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken[role]
}
