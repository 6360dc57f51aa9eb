package release

import (
	"context"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A plan is what a release will change. It is a value: nothing is signed or written for it.
type plan struct {
	targets   []step // targets and delegated roles, those nearest to targets first
	snapshot  *step  // nil if only the timestamp is signed
	timestamp step

	listed map[string]*tufmeta.Document // what the snapshot is to list anew besides, by role
	pin    map[string]bool              // what is to be listed with length and SHA-256
}

// A step is the signing of one document's successor.
type step struct {
	published.Base
	version  int64
	validity time.Duration
}

// plan plans the release that follows what is published.
func (r *Roll) plan(ctx context.Context, repo *published.Repository) (*plan, error) {
	p := &plan{listed: map[string]*tufmeta.Document{}, pin: map[string]bool{tufmeta.Snapshot: true}}
	for role, d := range repo.Newly() {
		p.listed[role] = d.Verified().Document
	}
	for role := range repo.Made {
		p.pin[role] = repo.Pins(role)
	}
	if repo.SignsSnapshot() {
		for _, base := range repo.Sign {
			s, err := r.step(ctx, base)
			if err != nil {
				return nil, err
			}
			p.targets = append(p.targets, s)
			p.pin[base.Role().Name] = base.Pin()
		}
		snapshot, err := r.step(ctx, repo.TopLevel(tufmeta.Snapshot))
		if err != nil {
			return nil, err
		}
		p.snapshot = &snapshot
	}
	var err error
	p.timestamp, err = r.step(ctx, repo.TopLevel(tufmeta.Timestamp))
	return p, err
}

// step plans one document.
func (r *Roll) step(ctx context.Context, base published.Base) (step, error) {
	role, d := base.Role(), base.Document()
	version := max(base.Above(), r.numbers.after(role.Name))
	if version == 0 {
		version = time.Now().Unix()
	}
	if d.Believed() && version+1 == d.Version() { // which its role's present keys have not signed
		version++
	}
	if version++; version > tufmeta.MaxVersion {
		return step{}, fmt.Errorf("role %s: %w", role.Name, base.Exhausted())
	}
	validity, err := r.Validity(ctx, role, base.Bins(), d.Verified())
	return step{base, version, validity}, err
}

// sign carries a plan out, as far as signing goes. The result's warnings are about keys that were
// not needed.
func (p *plan) sign(ctx context.Context, repo *published.Repository) (*release, error) {
	rel := &release{}
	list := map[string]*tufmeta.Document{}
	if d := repo.Snapshot; d != nil {
		list[tufmeta.Snapshot] = d.Verified().Document
	}
	spec := repo.Root().SpecVersion()
	if p.snapshot != nil {
		rel.listed = maps.Clone(p.listed)
		if err := rel.signTargets(ctx, p.targets); err != nil {
			return nil, err
		}
		for _, c := range rel.targets {
			rel.listed[c.new.Role().Name] = c.new.Document
		}
		snapshot, err := rel.sign(ctx, *p.snapshot, spec, rel.listed, p.pin)
		if err != nil {
			return nil, err
		}
		rel.snapshot = &snapshot
		list[tufmeta.Snapshot] = snapshot.new.Document
	}
	var err error
	rel.timestamp, err = rel.sign(ctx, p.timestamp, spec, list, p.pin)
	return rel, err
}

// signTargets signs documents that do not depend on each other.
func (rel *release) signTargets(ctx context.Context, steps []step) error {
	rel.targets = make([]change, len(steps))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, s := range steps {
		group.Go(func() (err error) {
			rel.targets[i], err = rel.sign(groupCtx, s, "", nil, nil)
			return err
		})
	}
	return group.Wait()
}

// sign signs one document. One that follows nothing is made for the version spec of the
// specification.
func (rel *release) sign(ctx context.Context, s step, spec string, list map[string]*tufmeta.Document,
	pin map[string]bool,
) (change, error) {
	role := s.Role()
	what := tufmeta.Change{Version: s.version, Expires: time.Now().Add(s.validity), List: list, Pin: pin}
	var draft *tufmeta.Draft
	var err error
	if d := s.Document(); d != nil {
		draft, err = d.Verified().Next(what)
	} else {
		draft, err = tufmeta.New(role.Name, spec, what)
	}
	if err == nil {
		signed, unused, signErr := draft.Sign(ctx, role, s.Signers())
		if err = signErr; err == nil {
			rel.warn(role.Name, unused)
			return change{s.Document(), signed, s.validity.Truncate(time.Second)}, nil
		}
	}
	return change{}, fmt.Errorf("signing role %s version %d: %w", role.Name, s.version, err)
}

// warn notes keys that did not sign, though enough others did.
func (rel *release) warn(role string, unused []error) {
	rel.mu.Lock()
	defer rel.mu.Unlock()
	for _, err := range unused {
		rel.warnings = append(rel.warnings, fmt.Sprintf("role %s: a key was not needed, and did not sign: %v", role, err))
	}
}
