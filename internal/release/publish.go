package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A release is what a roll publishes.
type release struct {
	targets   []change // targets and delegated roles
	snapshot  *change  // nil if only the timestamp is signed
	timestamp change

	listed map[string]*tufmeta.Document // what the snapshot lists anew, by role
}

// A change is a document that takes the place of another.
type change struct {
	old *published.Document
	new *tufmeta.Verified
}

func (rel *release) changes() []change {
	changes := slices.Clone(rel.targets)
	if rel.snapshot != nil {
		changes = append(changes, *rel.snapshot)
	}
	return append(changes, rel.timestamp)
}

// publish writes a release: first the files that the timestamp leads to, then the timestamp. Before
// that last write nothing has changed for clients. A crash leaves only files with numbers that
// nothing lists. Without consistent snapshots clients may see the files change one after the other;
// after a crash the next roll of the snapshot finds what was written and goes on from there.
//
// What the Set has taken for granted is confirmed before anything changes for clients, beside the
// versioned files. A timestamp by itself does not wait for that: if another writer has written
// since, the roll begins again at once.
func (r *Roll) publish(ctx context.Context, set *repofiles.Set, repo *published.Repository, rel *release,
) (*written, error) {
	creates, replaces := []change(nil), rel.changes()
	w := &written{files: map[string]*repofiles.File{}}
	names := map[string]bool{}
	for _, c := range replaces {
		names[repo.Layout.Name(c.new.Role().Name, c.new.Version())] = true
	}
	if repo.Layout.Consistent {
		last := len(replaces) - 1
		creates, replaces = replaces[:last], replaces[last:]
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	group.Go(func() error { return set.Confirm(groupCtx, names) })
	for _, c := range creates {
		group.Go(func() error { return r.create(groupCtx, repo, c, w) })
	}
	if len(creates)+len(replaces) > 1 {
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	for _, c := range replaces {
		if err := r.replace(ctx, repo, c, w); err != nil {
			return nil, errors.Join(err, group.Wait())
		}
	}
	if rel.snapshot != nil {
		r.Memory.See(r.App, rel.snapshot.new, false)
	}
	r.Memory.See(r.App, rel.timestamp.new, false)
	if err := group.Wait(); err != nil {
		r.committed = repo.Layout.Name(tufmeta.Timestamp, 0)
		return nil, err
	}
	return w, nil
}

// replace writes a file that takes the place of another one.
func (r *Roll) replace(ctx context.Context, repo *published.Repository, c change, w *written) error {
	name := repo.Layout.Name(c.new.Role().Name, c.new.Version())
	stored, err := r.Store.Replace(ctx, name, c.old.File().Stored, c.new.Bytes())
	if err != nil {
		r.uncertain = !repofiles.Answered(err)
		return fmt.Errorf("writing %s: %w", name, err)
	}
	w.add(name, stored, c)
	return nil
}

// create writes a versioned file. If its number is taken, the next attempt skips it. The files of
// targets roles are found by the next attempt itself, as far as it reads ahead, and there must be
// no gap between them: a file beyond a gap would be found, and be accepted, only when the numbers
// before it have been used up, and might undo what came since.
func (r *Roll) create(ctx context.Context, repo *published.Repository, c change, w *written) error {
	v := c.new
	role := v.Role().Name
	name := repo.Layout.Name(role, v.Version())
	stored, err := r.Store.Create(ctx, name, v.Bytes())
	if errors.Is(err, storage.ErrExists) && !repo.Finds(role, v.Version()) {
		r.numbers.skip(role, v.Version())
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	w.add(name, stored, c)
	return nil
}

// written are the files that an attempt has written, by name.
type written struct {
	mu    sync.Mutex
	files map[string]*repofiles.File
}

func (w *written) add(name string, stored storage.Version, c change) {
	f := repofiles.Written(name, stored, c.new, c.old.File())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[name] = f
}

// stateAfter is what to remember once a release is published: what was read for it, with what was
// written in place of what that followed.
func stateAfter(set *repofiles.Set, repo *published.Repository, rel *release, w *written) repofiles.State {
	s := repofiles.State{Roots: repo.Roots, Files: set.Files()}
	if rel.snapshot == nil && set.Trusting() { // what it lists was not read, and stays as it was
		for name, f := range set.Remembered().Files {
			if s.Files[name] == nil {
				s.Files[name] = f
			}
		}
	}
	for _, c := range rel.changes() {
		delete(s.Files, c.old.File().Name)
	}
	maps.Copy(s.Files, w.files)
	return s
}
