package tufupdate

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// check looks at a release as a client would that holds p: it is the last look before anything is written.
func (rel *release) check(p *published) error {
	for _, c := range rel.changes() {
		if c.new.Version() <= c.old.Version() {
			return fmt.Errorf("role %s: version %d does not follow %d", c.new.Role().Name, c.new.Version(), c.old.Version())
		}
	}
	snapshot := p.snapshot.Verified
	if rel.snapshot != nil {
		snapshot = rel.snapshot.new
		for role, version := range p.snapshot.ListedRoles() {
			if now, ok := snapshot.Listed(role); !ok || now.Version < version {
				return fmt.Errorf("snapshot version %d lists %s version %d where %d was listed", snapshot.Version(), role, now.Version, version)
			}
		}
		for role, d := range rel.listed {
			info, _ := snapshot.Listed(role)
			if err := info.Check(d); err != nil {
				return fmt.Errorf("snapshot version %d: role %s: %w", snapshot.Version(), role, err)
			}
		}
	}
	info, _ := rel.timestamp.new.Listed(tufmeta.Snapshot)
	if err := info.Check(snapshot.Document); err != nil {
		return fmt.Errorf("timestamp version %d: snapshot: %w", rel.timestamp.new.Version(), err)
	}
	if before, _ := p.timestamp.Listed(tufmeta.Snapshot); info.Version < before.Version {
		return fmt.Errorf("timestamp version %d lists snapshot version %d where %d was listed", rel.timestamp.new.Version(), info.Version, before.Version)
	}
	return nil
}

// publish writes a release: first all that the timestamp leads to, then the timestamp. Before that last write nothing has changed for
// clients, and a crash leaves but files with numbers that nobody uses. Without consistent snapshots clients may see the files change one
// after the other; after a crash the next roll of the snapshot finds what was written and goes on from there.
func (r *roll) publish(ctx context.Context, p *published, rel *release) error {
	changes := rel.changes()
	last := len(changes) - 1
	if p.consistent {
		group, createCtx := errgroup.WithContext(ctx)
		group.SetLimit(maxParallel)
		for _, c := range changes[:last] {
			group.Go(func() error { return r.create(createCtx, p, c.new) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		changes = changes[last:]
	}
	for _, c := range changes {
		key := p.key(c.new.Role().Name, c.new.Version())
		if _, err := r.u.store.Replace(ctx, key, c.old.store, c.new.Bytes()); err != nil {
			return errorf(r.app, "writing "+key, err)
		}
	}
	if rel.snapshot != nil {
		r.u.memory.remember(r.app, rel.snapshot.new, false)
	}
	r.u.memory.remember(r.app, rel.timestamp.new, false)
	return nil
}

// create writes a versioned file. If its number is taken, the next attempt passes it over. Files of targets roles it finds by itself, as far as
// it looks ahead, and it must not leave gaps between them: a file beyond a gap would be found, and be taken in, only when the numbers
// before it have been used up, and might undo what came since.
func (r *roll) create(ctx context.Context, p *published, v *tufmeta.Verified) error {
	role := v.Role().Name
	key := p.key(role, v.Version())
	_, err := r.u.store.Create(ctx, key, v.Bytes())
	if errors.Is(err, storage.ErrExists) {
		listed, isTargets := p.snapshot.Listed(role)
		if !isTargets || v.Version() > listed.Version+maxAhead {
			r.pass(role, v.Version())
		}
	}
	if err != nil {
		return errorf(r.app, "writing "+key, err)
	}
	return nil
}
