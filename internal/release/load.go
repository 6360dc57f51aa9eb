package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A Loader reads one app's repository and has it judged.
type Loader struct {
	App    string
	Store  storage.Store
	Memory *repofiles.Memory
	Record *repofiles.Record
	Ring   *custody.Keyring
	Word   published.Word
	// Pin returns the pinned root, nil if the first root seen is to be trusted.
	Pin func(ctx context.Context) ([]byte, error)
	// First, if not nil, is called when nothing was remembered of the app.
	First func(repo *published.Repository, pinned bool)

	pin   []byte                // the answer of Pin, once there is one
	root  *tufmeta.RootDocument // what pin holds, once it was read
	asked bool
}

// Remembered returns a trusting Set of the app's cached files.
func (l *Loader) Remembered() *repofiles.Set {
	return repofiles.NewSet(l.Store, l.Memory.State(l.App), true)
}

// Load reads files and asks for keys until the repository is judged. It fills in the fields App,
// Pinned, Roots, Marks, Word, Now, Ahead and Cached of in. After an error the Repository holds what
// could be judged. It is nil if not even root could be.
func (l *Loader) Load(ctx context.Context, set *repofiles.Set, in published.Input) (*published.Repository, error) {
	in.App, in.Word, in.Now, in.Ahead = l.App, l.Word, time.Now(), !set.Trusting()
	in.Cached = set.Repeated()
	if set.Marks == nil { // before any file is read
		marks, err := l.Record.Read(ctx, l.App)
		if err != nil {
			return nil, err
		}
		set.Marks = &marks
	}
	in.Marks = *set.Marks
	if err := l.trust(ctx, set, &in); err != nil {
		return nil, err
	}
	judge := published.New(in, set, l.Ring)
	for {
		repo, need, err := judge.Judge()
		if err == nil && need.Pending() {
			if err = l.satisfy(ctx, set, need); err == nil {
				continue
			}
		}
		err = errors.Join(err, l.see(ctx, repo, in))
		if repo.Roots == nil {
			return nil, err
		}
		return repo, err
	}
}

// trust fills in what trust begins with: the pinned root and, if the app's cached roots follow it,
// those.
func (l *Loader) trust(ctx context.Context, set *repofiles.Set, in *published.Input) error {
	if !l.asked {
		pin, err := l.Pin(ctx)
		if err != nil {
			return err
		}
		l.pin, l.asked = pin, true
	}
	known := set.Remembered().Roots
	switch {
	case l.pin == nil:
		in.Roots = known
	case len(known) > 0 && bytes.Equal(known[0].Bytes(), l.pin):
		in.Pinned, in.Roots = known[0], known
	default:
		if l.root == nil {
			root, err := published.PinnedRoot(l.pin)
			if err != nil {
				return fmt.Errorf("pinned root: %w", err)
			}
			l.root = root
		}
		in.Pinned, in.Roots = l.root, []*tufmeta.RootDocument{l.root}
	}
	return nil
}

// satisfy reads files and asks for keys, at the same time.
func (l *Loader) satisfy(ctx context.Context, set *repofiles.Set, need published.Need) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if need.Names {
		if err := set.List(ctx, l.App); err != nil {
			return err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return set.Fetch(groupCtx, need.Files, need.Ahead) })
	group.Go(func() error {
		for _, q := range need.Roles {
			if _, err := l.Ring.Of(groupCtx, q); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// see notes what was judged, so that nothing earlier is accepted any more while the process lives.
func (l *Loader) see(ctx context.Context, repo *published.Repository, in published.Input) error {
	seen := repofiles.Marks{}
	switch {
	case repo.Roots != nil:
		seen.Note(repo.Root().Verified)
	case repo.First != nil: // though what follows it cannot be used
		seen.Note(repo.First.Verified)
	default:
		return nil
	}
	for _, d := range []*published.Document{repo.Timestamp, repo.Snapshot} {
		if d != nil {
			seen.Note(d.Verified())
		}
	}
	first, err := l.Record.See(ctx, l.App, in.Marks, seen)
	if first && repo.Roots != nil && l.First != nil {
		l.First(repo, in.Pinned != nil)
	}
	return err
}
