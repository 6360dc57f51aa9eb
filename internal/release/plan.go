package release

import (
	"context"
	"errors"
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

	accepted map[string]*tufmeta.Document // unlisted versions that the snapshot is to list, by role
}

// A step is the signing of one document's successor.
type step struct {
	published.Base
	version  int64
	validity time.Duration
}

// plan plans the release that follows what is published.
func (r *Roll) plan(ctx context.Context, repo *published.Repository) (*plan, error) {
	p := &plan{accepted: repo.Accepted}
	if !published.IsTimestampOnly(repo.Roles) || repo.Snapshot.Replaced() {
		for _, base := range repo.Sign {
			s, err := r.step(ctx, repo, base)
			if err != nil {
				return nil, err
			}
			p.targets = append(p.targets, s)
		}
		snapshot, err := r.step(ctx, repo, repo.TopLevel(tufmeta.Snapshot))
		if err != nil {
			return nil, err
		}
		p.snapshot = &snapshot
	}
	var err error
	p.timestamp, err = r.step(ctx, repo, repo.TopLevel(tufmeta.Timestamp))
	return p, err
}

// step plans one successor.
func (r *Roll) step(ctx context.Context, repo *published.Repository, base published.Base) (step, error) {
	d, role := base.Document(), base.Role()
	version := max(d.Version(), base.Taken(), r.numbers.after(role.Name)) + 1
	if version > tufmeta.MaxVersion {
		return step{}, repo.FileError(d, errors.New("no version can follow"))
	}
	validity, err := r.Validity(ctx, role, base.Bins(), d.Verified())
	return step{base, version, validity}, err
}

// sign carries a plan out, as far as signing goes.
func (p *plan) sign(ctx context.Context, repo *published.Repository) (*release, error) {
	rel := &release{}
	list := map[string]*tufmeta.Document{tufmeta.Snapshot: repo.Snapshot.Verified().Document}
	if p.snapshot != nil {
		rel.listed = maps.Clone(p.accepted)
		var err error
		if rel.targets, err = signAll(ctx, p.targets); err != nil {
			return nil, err
		}
		// Replaced keys may have signed what comes before these. Their hashes are listed, or an
		// attacker who holds such a key could exchange them, and have the exchange believed again.
		pinned := map[string]bool{}
		for _, c := range rel.targets {
			role := c.new.Role().Name
			rel.listed[role], pinned[role] = c.new.Document, c.old.Replaced()
		}
		snapshot, err := p.snapshot.sign(ctx, rel.listed, pinned)
		if err != nil {
			return nil, err
		}
		rel.snapshot = &change{p.snapshot.Document(), snapshot}
		list[tufmeta.Snapshot] = snapshot.Document
	}
	pinned := map[string]bool{tufmeta.Snapshot: repo.Snapshot.Replaced()}
	timestamp, err := p.timestamp.sign(ctx, list, pinned)
	if err != nil {
		return nil, err
	}
	rel.timestamp = change{p.timestamp.Document(), timestamp}
	return rel, nil
}

// signAll signs documents that do not depend on each other.
func signAll(ctx context.Context, steps []step) ([]change, error) {
	changes := make([]change, len(steps))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, s := range steps {
		group.Go(func() error {
			signed, err := s.sign(groupCtx, nil, nil)
			changes[i] = change{s.Document(), signed}
			return err
		})
	}
	return changes, group.Wait()
}

// sign signs the successor.
func (s step) sign(ctx context.Context, list map[string]*tufmeta.Document, pin map[string]bool) (*tufmeta.Verified,
	error,
) {
	draft, err := s.Document().Verified().Next(tufmeta.Change{
		Version: s.version,
		Expires: time.Now().Add(s.validity),
		List:    list,
		Pin:     pin,
	})
	if err == nil {
		var signed *tufmeta.Verified
		if signed, err = draft.Sign(ctx, s.Role(), s.Signers()); err == nil {
			return signed, nil
		}
	}
	return nil, fmt.Errorf("signing role %s version %d: %w", s.Role().Name, s.version, err)
}
