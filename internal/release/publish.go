package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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

	mu       sync.Mutex
	warnings []string
}

// A change is a document that takes the place of another.
type change struct {
	old      *published.Document // nil if the new one was made from nothing
	new      *tufmeta.Verified
	validity time.Duration // for which the new one was signed
}

func (rel *release) changes() []change {
	changes := slices.Clone(rel.targets)
	if rel.snapshot != nil {
		changes = append(changes, *rel.snapshot)
	}
	return append(changes, rel.timestamp)
}

// A write puts a file into the store.
type write struct {
	role string
	name string
	file *repofiles.File // without its name and version in the store
	over *repofiles.File // what it replaces; nil if it is created
}

// writes returns the files of a release: those that are created, in any order, and those that are
// replaced, in that order.
func (rel *release) writes(repo *published.Repository) (creates, replaces []write) {
	add := func(role string, name string, f, over *repofiles.File) {
		w := write{role, name, f, over}
		if over == nil {
			creates = append(creates, w)
		} else {
			replaces = append(replaces, w)
		}
	}
	var last []published.Copy // of the snapshot: it says that all else is there
	for _, c := range repo.Copies {
		if c.Role == tufmeta.Snapshot {
			last = append(last, c)
			continue
		}
		add(c.Role, c.Name, c.File, c.Over)
	}
	both := func(c change) {
		role, version := c.new.Role().Name, c.new.Version()
		f := repofiles.Signed(c.new, c.old.File())
		for _, layout := range repo.Layouts() {
			if layout.Versioned(role) {
				add(role, layout.Name(role, version), f, nil)
			} else if role != tufmeta.Timestamp || layout == repo.Layout {
				add(role, layout.Name(role, version), f, repo.Plain(role))
			}
		}
	}
	for _, c := range rel.changes() {
		if c.new.Role().Name == tufmeta.Timestamp {
			for _, c := range last {
				add(c.Role, c.Name, c.File, c.Over)
			}
		}
		both(c)
	}
	return creates, replaces
}

// publish writes a release: first the files that the timestamp leads to, then the timestamp. Before
// that last write nothing has changed for clients. A crash leaves only files with numbers that
// nothing lists. Without consistent snapshots clients may see the files change one after the other;
// after a crash the next roll of the snapshot finds what was written and goes on from there.
//
// What the Set has taken for granted is confirmed before anything changes for clients, beside the
// versioned files: without consistent snapshots the timestamp too, since it is not the first file
// to change then. A timestamp by itself does not wait for that where the snapshot's name carries a
// version: if there is a new root, the roll begins again at once.
func (r *Roll) publish(ctx context.Context, set *repofiles.Set, repo *published.Repository, rel *release,
) (*written, error) {
	creates, replaces := rel.writes(repo)
	done := &written{files: map[string]*repofiles.File{}}
	names := map[string]bool{repo.Layout.Name(tufmeta.Timestamp, 0): repo.Layout.Consistent}
	for _, w := range creates {
		names[w.name] = true
	}
	// Where a snapshot takes the place of one that does not count, a roll after a crash goes by the
	// new one, so it is written when all that it lists is there. Otherwise, once another writer was
	// met, the snapshot comes first: of those who want its number, all but one write nothing else.
	last := func(w write) bool { return repo.Derived != nil && w.role == tufmeta.Snapshot }
	first := func(w write) bool {
		return repo.Derived == nil && w.role == tufmeta.Snapshot && r.numbers.contended()
	}
	for _, w := range creates {
		if first(w) {
			if err := r.create(ctx, repo, w, done); err != nil {
				return nil, err
			}
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	group.Go(func() error { return set.Confirm(groupCtx, names) })
	for _, w := range creates {
		if !first(w) && !last(w) {
			group.Go(func() error { return r.create(groupCtx, repo, w, done) })
		}
	}
	if len(creates)+len(replaces) > 1 || !repo.Layout.Consistent {
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	for _, w := range creates {
		if last(w) {
			if err := r.create(ctx, repo, w, done); err != nil {
				return nil, err
			}
		}
	}
	for i, w := range replaces {
		if i == len(replaces)-1 && len(repo.Copies) > 0 {
			if err := r.sameRoot(ctx, repo); err != nil {
				return nil, err
			}
		}
		if err := r.replace(ctx, w, done); err != nil {
			return nil, errors.Join(err, group.Wait())
		}
	}
	if err := group.Wait(); err != nil {
		r.committed = repo.Layout.Name(tufmeta.Timestamp, 0)
		return nil, err
	}
	return done, nil
}

// sameRoot returns an error if root's holders have published another root meanwhile: the layout
// may have changed again.
func (r *Roll) sameRoot(ctx context.Context, repo *published.Repository) error {
	name := repo.Layout.Name(tufmeta.Root, repo.Root().Version()+1)
	_, err := r.Store.Get(ctx, name)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return fmt.Errorf("%s is new: %w", name, storage.ErrConflict)
}

// replace writes a file that takes the place of another one.
func (r *Roll) replace(ctx context.Context, w write, done *written) error {
	stored, err := r.Store.Replace(ctx, w.name, w.over.Stored, w.file.Bytes())
	if err != nil {
		r.uncertain = !repofiles.Answered(err)
		return fmt.Errorf("writing %s: %w", w.name, err)
	}
	done.add(w, stored)
	return nil
}

// create writes a versioned file. If its number is taken, a later attempt skips it (see numbers).
// The next attempt itself finds the files of targets roles, as far as it reads ahead. Between them
// there must be no gap: a file beyond a gap would be found, and be accepted, only when the numbers
// before it have been used up, and might undo what came since.
func (r *Roll) create(ctx context.Context, repo *published.Repository, w write, done *written) error {
	stored, err := r.Store.Create(ctx, w.name, w.file.Bytes())
	if !repo.Finds(w.role, w.file.Version()) {
		switch {
		case err == nil:
			r.numbers.write(w.role, w.file.Version())
		case errors.Is(err, storage.ErrExists):
			r.numbers.meet(w.role, w.file.Version())
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", w.name, err)
	}
	done.add(w, stored)
	return nil
}

// written are the files that an attempt has written, by name.
type written struct {
	mu    sync.Mutex
	files map[string]*repofiles.File
}

func (done *written) add(w write, stored storage.Version) {
	done.mu.Lock()
	defer done.mu.Unlock()
	done.files[w.name] = w.file.At(w.name, stored)
}

// stateAfter is what to remember once a release is published: what was read for it, with what was
// written in place of what that followed, and what was remembered before and is listed still.
func stateAfter(set *repofiles.Set, repo *published.Repository, rel *release, w *written) repofiles.State {
	s := repofiles.State{Roots: repo.Roots, Files: set.Files()}
	snapshot := repo.Snapshot.Verified()
	if rel.snapshot != nil {
		snapshot = rel.snapshot.new
	}
	for name, f := range set.Remembered().Files {
		if role, ok := f.Settled(); ok && s.Files[name] == nil {
			if info, ok := snapshot.Listed(role); ok && info.Version == f.Version() {
				s.Files[name] = f
			}
		}
	}
	for _, c := range rel.changes() {
		if c.old != nil {
			delete(s.Files, c.old.File().Name)
		}
	}
	maps.Copy(s.Files, w.files)
	return s
}
