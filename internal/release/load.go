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
}

// Remembered returns a trusting Set of what is remembered of the app.
func (l *Loader) Remembered() *repofiles.Set {
	return repofiles.NewSet(l.Store, l.Memory.State(l.App), true)
}

// Load answers a question, all fields of which but App, Roots, Marks, Now and Ahead are given.
// After an error the Repository holds what could be judged; it is nil if not even root could be.
func (l *Loader) Load(ctx context.Context, set *repofiles.Set, q published.Input) (*published.Repository, error) {
	q.App, q.Now, q.Ahead = l.App, time.Now(), !set.Trusting()
	q.Marks = l.Memory.Marks(l.App)
	if q.Roots = set.Remembered().Roots; q.Roots == nil {
		root, err := l.Root(ctx)
		if err != nil {
			return nil, err
		}
		if root != nil {
			q.Roots = []*tufmeta.RootDocument{root}
		}
	}
	for {
		repo, need, err := published.Assemble(q, set, l.Ring)
		for _, name := range repo.Rejected {
			set.Shed(name)
		}
		if err == nil && q.Roots == nil && repo.Roots != nil {
			err = l.begin(repo)
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

// begin notes the first root that was seen.
func (l *Loader) begin(repo *published.Repository) error {
	root := repo.Roots[0]
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
