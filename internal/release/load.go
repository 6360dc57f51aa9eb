package release

import (
	"context"
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
	Ring   *custody.Keyring

	// Root returns the pinned root, nil if the first root seen is to be trusted.
	Root func(ctx context.Context) (*tufmeta.RootDocument, error)

	// Trusted, if not nil, is called when the first root seen of an app is trusted.
	Trusted func(root *tufmeta.RootDocument)

	roots []*tufmeta.RootDocument // the answer of Root, once there is one
	asked bool
}

// Remembered returns a trusting Set of the app's cached files.
func (l *Loader) Remembered() *repofiles.Set {
	return repofiles.NewSet(l.Store, l.Memory.State(l.App), true)
}

// Load reads files and asks for keys until the repository is judged. It fills in the fields App,
// Roots, Marks, Now and Ahead of in. After an error the Repository holds what could be judged. It
// is nil if not even root could be.
func (l *Loader) Load(ctx context.Context, set *repofiles.Set, in published.Input) (*published.Repository, error) {
	in.App, in.Now, in.Ahead = l.App, time.Now(), !set.Trusting()
	if set.Marks == nil {
		set.Marks = l.Memory.Marks(l.App)
	}
	in.Marks = set.Marks
	if in.Roots = set.Remembered().Roots; in.Roots == nil {
		if err := l.ask(ctx); err != nil {
			return nil, err
		}
		in.Roots = l.roots
	}
	judge := published.New(in, set, l.Ring)
	for {
		repo, need, err := judge.Judge()
		if repo.First != nil {
			if err := l.begin(repo); err != nil {
				return nil, err
			}
		}
		if err == nil && need.Pending() {
			if err = l.satisfy(ctx, set, need); err == nil {
				continue
			}
		}
		if repo.Roots == nil {
			return nil, err
		}
		l.see(repo)
		return repo, err
	}
}

// ask asks for the pinned root, once.
func (l *Loader) ask(ctx context.Context) error {
	if l.asked {
		return nil
	}
	root, err := l.Root(ctx)
	if err != nil {
		return err
	}
	if l.asked = true; root != nil {
		l.roots = []*tufmeta.RootDocument{root}
	}
	return nil
}

// begin notes the first root that was seen.
func (l *Loader) begin(repo *published.Repository) error {
	root := repo.First
	first, err := l.Memory.Begin(l.App, root.Verified)
	if err != nil {
		return &published.FileError{
			Role: tufmeta.Root, Version: root.Version(), File: repo.Layout.Name(tufmeta.Root, root.Version()), Err: err,
		}
	}
	if first && l.Trusted != nil {
		l.Trusted(root)
	}
	return nil
}

// satisfy reads files and asks for keys, at the same time.
func (l *Loader) satisfy(ctx context.Context, set *repofiles.Set, need published.Need) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
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

// see notes what was judged, so that nothing earlier is accepted any more.
func (l *Loader) see(repo *published.Repository) {
	l.Memory.See(l.App, repo.Root().Verified, false)
	for _, d := range []*published.Document{repo.Timestamp, repo.Snapshot} {
		if d != nil {
			l.Memory.See(l.App, d.Verified(), d.Replaced())
		}
	}
}
