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
	Accepted  map[string]int64    // uploaded versions that the snapshot lists for the first time, by role
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
	return sleep(ctx, rand.N(min(time.Second, time.Millisecond<<attempt)))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
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
	if err := r.yield(ctx, repo.Plain(tufmeta.Timestamp)); err != nil {
		return Outcome{}, err
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
	if err := rel.checkClock(r.Store, repo, time.Now()); err != nil {
		return Outcome{}, err
	}
	written, err := r.publish(ctx, set, repo, rel)
	if err != nil {
		return Outcome{}, err
	}
	r.Memory.Commit(r.App, stateAfter(set, repo, rel, written))
	outcome := Outcome{Accepted: map[string]int64{}, Warnings: slices.Concat(repo.Ignored(), repo.Warnings, rel.warnings)}
	for role, d := range repo.Accepted {
		outcome.Accepted[role] = d.Version()
	}
	if err := r.remember(ctx, repo, rel); err != nil {
		outcome.Warnings = append(outcome.Warnings, fmt.Sprintf("what was published is not remembered: %v", err))
	}
	for _, c := range rel.changes() {
		outcome.Published = append(outcome.Published, c.new)
	}
	return outcome, nil
}

// rememberTimeout bounds the writing of memory. The release is out by then. There is time for a
// second try.
const rememberTimeout = 45 * time.Second

// remember writes down what a release has published, so that nothing older is signed again.
func (r *Roll) remember(ctx context.Context, repo *published.Repository, rel *release) error {
	var marks repofiles.Marks
	marks.Note(repo.Root().Verified)
	for _, c := range rel.changes() {
		if repo.Pins(c.new.Role().Name) {
			marks.NoteSigned(c.new, c.validity)
		}
	}
	documents := []*tufmeta.Verified{repo.Snapshot.Verified()} // which a timestamp by itself leads to
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
