package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// A roll is the signing and publishing of new versions of some roles of one app, through as many
// attempts as other writers make necessary.
type roll struct {
	u     *Updater
	app   string
	roles []string
	keys  *keyring

	// taken are version numbers that were found to be in use, by role, although nothing published
	// leads there: a writer has crashed, or is about to win. steps counts how often that was, to
	// pass many of them soon.
	mu    sync.Mutex
	taken map[string]int64
	steps map[string]int

	written    map[string]*file // by this attempt, by key
	unanswered bool             // a write may have landed or not
	// the key of a timestamp that an attempt has written, only to find that it had to begin again
	committed string
}

// pass notes that a version number is taken. The next attempt goes one further, the one after that
// up to two, then up to four: what a crash left, or somebody put there, does not hold a roll up for
// long. How far is left to chance, or a roll would meet again whatever others left that went the
// same way.
func (r *roll) pass(role string, version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[role] = version + rand.Int64N(1<<min(r.steps[role], 30))
	r.steps[role]++
}

// maxAttempts bounds how often a roll begins again. Each time, another writer has published, or a
// number was passed over.
const maxAttempts = 40

// run rolls, until it has published or failed. It begins with what is remembered of the app. If
// that leads nowhere, whatever the reason, it goes by what the store holds.
func (r *roll) run(ctx context.Context) (tasks.Result, error) {
	goal := tufmeta.Targets
	if isTimestampOnly(r.roles) {
		goal = tufmeta.Snapshot
	}
	v := newView(r.u.store, r.app, goal, r.u.cache.get(r.app))
	for attempt := 0; attempt < maxAttempts; attempt++ {
		if err := pause(ctx, attempt); err != nil {
			return tasks.Result{}, err
		}
		result, err := r.attempt(ctx, v)
		switch {
		case err == nil:
			return result, nil
		case v.trusting && !r.unanswered && ctx.Err() == nil:
			attempt-- // it was to save time
		case !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrExists):
			return tasks.Result{}, r.failed(err)
		}
		r.u.log.DebugContext(ctx, "beginning again", "app", r.app, "attempt", attempt+1, "reason", err)
		v = v.again()
	}
	return tasks.Result{}, r.failed(errorf(r.app, fmt.Sprintf("gave up after %d attempts", maxAttempts), ErrConflict))
}

// failed forgets the app, and returns err with what an attempt before the last one may have
// published all the same.
func (r *roll) failed(err error) error {
	r.u.cache.drop(r.app)
	if r.committed != "" {
		return errorf(r.app, "after writing "+r.committed, err)
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

// attempt loads, plans, signs, checks and publishes. ErrConflict and ErrExists of the store mean
// that it should begin again.
func (r *roll) attempt(ctx context.Context, v *view) (tasks.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what was read ahead in vain
	r.written = map[string]*file{}
	p, roles, err := r.u.prepare(ctx, v, r.keys, r.roles)
	if err != nil {
		return tasks.Result{}, err
	}
	if err := r.u.loadSnapshot(ctx, p); err != nil {
		return tasks.Result{}, err
	}
	next, err := r.sign(ctx, p, roles)
	if err != nil {
		return tasks.Result{}, err
	}
	if err := next.check(p); err != nil {
		return tasks.Result{}, errorf(r.app, "checking what was signed", err)
	}
	if err := r.publish(ctx, p, next); err != nil {
		return tasks.Result{}, err
	}
	r.u.cache.put(r.app, r.state(p, next))
	return r.result(ctx, p, next), nil
}

// state is what to remember once a release is published: what was read for it, with what was
// written in the place of what that followed.
func (r *roll) state(p *published, rel *release) *state {
	s := &state{roots: p.roots, files: p.view.files()}
	if rel.snapshot == nil && p.trusting { // what it lists has not been looked at, and stays what it was
		for key, f := range p.known.files {
			if s.files[key] == nil {
				s.files[key] = f
			}
		}
	}
	for _, c := range rel.changes() {
		delete(s.files, c.old.file.key)
	}
	maps.Copy(s.files, r.written)
	return s
}

// A release is what a roll publishes.
type release struct {
	targets   []change // targets and delegated roles
	snapshot  *change  // nil if only the timestamp is signed
	timestamp change

	listed map[string]*tufmeta.Document // what the snapshot lists anew: targets, and documents that were taken in

	// pinned are those that take the place of documents that replaced keys had signed. Their hashes
	// are listed, or somebody who holds such a key could exchange them, and have it taken for the
	// rotation once more.
	pinned map[string]bool
}

// A change is a document that takes the place of another.
type change struct {
	old *document
	new *tufmeta.Verified
}

func (rel *release) changes() []change {
	changes := slices.Clone(rel.targets)
	if rel.snapshot != nil {
		changes = append(changes, *rel.snapshot)
	}
	return append(changes, rel.timestamp)
}

// sign makes the release that follows p.
func (r *roll) sign(ctx context.Context, p *published, roles []string) (*release, error) {
	var rel release
	if err := p.followable(p.timestamp); err != nil {
		return nil, err
	}
	if !isTimestampOnly(roles) || p.snapshot.rotated {
		if err := p.followable(p.snapshot); err != nil {
			return nil, err
		}
		if err := r.signTargets(ctx, p, roles, &rel); err != nil {
			return nil, err
		}
		snapshot, err := r.signNext(ctx, p, p.root().Roles[tufmeta.Snapshot], "", p.snapshot, 0, rel.listed, rel.pinned)
		if err != nil {
			return nil, err
		}
		rel.snapshot = &change{p.snapshot, snapshot}
	}
	list := map[string]*tufmeta.Document{tufmeta.Snapshot: p.snapshot.Document}
	if rel.snapshot != nil {
		list[tufmeta.Snapshot] = rel.snapshot.new.Document
	}
	pinned := map[string]bool{tufmeta.Snapshot: p.snapshot.rotated}
	timestamp, err := r.signNext(ctx, p, p.root().Roles[tufmeta.Timestamp], "", p.timestamp, 0, list, pinned)
	if err != nil {
		return nil, err
	}
	rel.timestamp = change{p.timestamp, timestamp}
	return &rel, nil
}

// signTargets signs targets and delegated roles, those that were asked for and those whose keys
// were replaced, and takes in what was uploaded.
func (r *roll) signTargets(ctx context.Context, p *published, roles []string, rel *release) error {
	t := newTree(p, r.keys, roles)
	if err := t.walk(ctx); err != nil {
		return err
	}
	toSign, err := t.plan(ctx)
	if err != nil {
		return err
	}
	rel.listed, rel.pinned = map[string]*tufmeta.Document{}, map[string]bool{}
	for _, n := range t.all() {
		if n.fresh() {
			rel.listed[n.role.Name] = n.doc.Document
		}
	}
	rel.targets = make([]change, len(toSign))
	group, signCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for i, n := range toSign {
		group.Go(func() error {
			signed, err := r.signNext(signCtx, p, n.role, n.prefix(), n.doc, n.taken, nil, nil)
			rel.targets[i] = change{n.doc, signed}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, c := range rel.targets {
		role := c.new.Role().Name
		rel.listed[role] = c.new.Document
		rel.pinned[role] = c.old.rotated
	}
	return nil
}

// signNext signs the document that follows one. above is a version number that is taken already.
func (r *roll) signNext(ctx context.Context, p *published, role *tufmeta.Role, bins string, d *document, above int64,
	list map[string]*tufmeta.Document, pin map[string]bool,
) (*tufmeta.Verified, error) {
	signers, err := r.keys.online(ctx, role, bins)
	if err != nil {
		return nil, err
	}
	validity, err := r.keys.validity(ctx, role, bins, d.Verified)
	if err != nil {
		return nil, err
	}
	version := max(d.Version(), above, r.taken[role.Name]) + 1
	what := fmt.Sprintf("signing role %s version %d", role.Name, version)
	draft, err := d.Next(tufmeta.Change{
		Version: version,
		Expires: time.Now().Add(validity),
		List:    list,
		Pin:     pin,
	})
	if err != nil {
		return nil, errorf(p.app, what, err)
	}
	signed, err := draft.Sign(ctx, role, signers)
	if err != nil {
		return nil, errorf(p.app, what, err)
	}
	return signed, nil
}

// result says what was published, and logs it.
func (r *roll) result(ctx context.Context, p *published, rel *release) tasks.Result {
	result := tasks.Result{Versions: map[string]int64{}, Warnings: p.warnings}
	for _, c := range rel.changes() {
		role := c.new.Role().Name
		result.Roles = append(result.Roles, role)
		result.Versions[role] = c.new.Version()
		r.u.log.InfoContext(ctx, "published", "app", r.app, "role", role, "version", c.new.Version(), "expires",
			c.new.Expires())
	}
	for _, w := range p.warnings {
		r.u.log.WarnContext(ctx, w, "app", r.app)
	}
	return result
}
