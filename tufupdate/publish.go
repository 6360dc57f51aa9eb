package tufupdate

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// check looks at a release as a client would that holds p: it is the last look before anything is
// written.
func (rel *release) check(p *published) error {
	for _, c := range rel.changes() {
		if c.new.Version() <= c.old.Version() {
			return fmt.Errorf("role %s: version %d does not follow %d", c.new.Role().Name, c.new.Version(), c.old.Version())
		}
	}
	snapshot := p.snapshot.Verified
	if rel.snapshot != nil {
		snapshot = rel.snapshot.new
		if now, before := snapshot.Len(), p.snapshot.Len(); now < before {
			return fmt.Errorf("snapshot version %d lists %d files where %d were listed", snapshot.Version(), now, before)
		}
		for role, d := range rel.listed { // the others are listed as they were
			info, _ := snapshot.Listed(role)
			if err := info.Check(d); err != nil {
				return fmt.Errorf("snapshot version %d: role %s: %w", snapshot.Version(), role, err)
			}
			if before, _ := p.snapshot.Listed(role); info.Version < before.Version {
				return fmt.Errorf("snapshot version %d lists %s version %d where %d was listed", snapshot.Version(), role,
					info.Version, before.Version)
			}
		}
	}
	info, _ := rel.timestamp.new.Listed(tufmeta.Snapshot)
	if err := info.Check(snapshot.Document); err != nil {
		return fmt.Errorf("timestamp version %d: snapshot: %w", rel.timestamp.new.Version(), err)
	}
	if before, _ := p.timestamp.Listed(tufmeta.Snapshot); info.Version < before.Version {
		return fmt.Errorf("timestamp version %d lists snapshot version %d where %d was listed", rel.timestamp.new.Version(),
			info.Version, before.Version)
	}
	return nil
}

// publish writes a release: first all that the timestamp leads to, then the timestamp. Before that
// last write nothing has changed for clients, and a crash leaves but files with numbers that nobody
// uses. Without consistent snapshots clients may see the files change one after the other; after a
// crash the next roll of the snapshot finds what was written and goes on from there.
//
// What the roll has taken for granted is confirmed before anything changes for clients, beside the
// versioned files. Only a timestamp by itself does not wait for that: where it turns out that more
// has changed, the roll begins again at once.
func (r *roll) publish(ctx context.Context, p *published, rel *release) error {
	creates, replaces := []change(nil), rel.changes()
	written := map[string]bool{}
	for _, c := range replaces {
		written[p.key(c.new.Role().Name, c.new.Version())] = true
	}
	if p.consistent {
		last := len(replaces) - 1
		creates, replaces = replaces[:last], replaces[last:]
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	group.Go(func() error { return p.confirm(groupCtx, written) })
	for _, c := range creates {
		group.Go(func() error { return r.create(groupCtx, p, c) })
	}
	if len(creates)+len(replaces) > 1 {
		if err := group.Wait(); err != nil {
			return err
		}
	}
	for _, c := range replaces {
		if err := r.replace(ctx, p, c); err != nil {
			return errors.Join(err, group.Wait())
		}
	}
	if rel.snapshot != nil {
		r.u.trust.remember(r.app, rel.snapshot.new, false)
	}
	r.u.trust.remember(r.app, rel.timestamp.new, false)
	if err := group.Wait(); err != nil {
		r.committed = p.key(tufmeta.Timestamp, 0)
		return err
	}
	return nil
}

// replace writes a file that takes the place of another one.
func (r *roll) replace(ctx context.Context, p *published, c change) error {
	key := p.key(c.new.Role().Name, c.new.Version())
	version, err := r.u.store.Replace(ctx, key, c.old.file.version, c.new.Bytes())
	if err != nil {
		r.unanswered = !answered(err)
		return errorf(r.app, "writing "+key, err)
	}
	r.wrote(key, version, c)
	return nil
}

// create writes a versioned file. If its number is taken, the next attempt passes it over. Files of
// targets roles it finds by itself, as far as it looks ahead, and it must not leave gaps between
// them: a file beyond a gap would be found, and be taken in, only when the numbers before it have
// been used up, and might undo what came since.
func (r *roll) create(ctx context.Context, p *published, c change) error {
	v := c.new
	role := v.Role().Name
	key := p.key(role, v.Version())
	version, err := r.u.store.Create(ctx, key, v.Bytes())
	if errors.Is(err, storage.ErrExists) {
		listed, isTargets := p.snapshot.Listed(role)
		if !isTargets || v.Version() > listed.Version+maxAhead {
			r.pass(role, v.Version())
		}
	}
	if err != nil {
		return errorf(r.app, "writing "+key, err)
	}
	r.wrote(key, version, c)
	return nil
}

// wrote notes what a file now holds.
func (r *roll) wrote(key string, version storage.Version, c change) {
	f := newFile(key, version, c.new.Document, nil)
	f.verified = []*tufmeta.Verified{c.new}
	f.delegations = c.old.file.delegations // which do not change
	f.settled.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written[key] = f
}
