package published

import (
	"errors"
	"fmt"
	"time"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// followRoots follows the roots from the trusted one to the newest (specification 5.3).
func (a *Assembly) followRoots() error {
	if len(a.roots) == 0 {
		first, err := a.firstRoot()
		if err != nil {
			return err
		}
		a.repo.First, a.roots = first, append(a.roots, first)
	}
	for {
		version := a.root().Version() + 1
		f, err := a.file(tufmeta.Root, version, repofiles.Next, nil)
		if err != nil {
			// There may be many, so they are not read one after the other. A survey comes back
			// often, and as a rule there is none.
			if a.in.Ahead {
				more := len(a.roots) - max(1, len(a.in.Roots)) // as many as were followed
				if !a.in.Survey {
					more++
				}
				a.foreseeRoots(version+1, int64(more))
			}
			return err
		}
		if !f.Exists() || errors.Is(f.Err, storage.ErrInvalidKey) { // a folder has that name
			break
		}
		if f.Err != nil {
			return a.fileError(tufmeta.Root, version, f.Err)
		}
		next, err := f.Follow(a.root())
		if err != nil {
			return a.reject(tufmeta.Root, f, err)
		}
		a.roots = append(a.roots, next)
	}
	if err := checkRoots(a.in.Marks.Root, a.roots); err != nil {
		return a.fileError(tufmeta.Root, a.root().Version(), err)
	}
	a.repo.Roots, a.layout.Consistent = a.roots, a.root().Consistent
	a.repo.Layout, a.repo.Both = a.layout, a.in.Word.BothLayouts
	return nil
}

// firstRoot returns the first root that was ever published, to be trusted where none is pinned.
func (a *Assembly) firstRoot() (*tufmeta.RootDocument, error) {
	f, err := a.listed(tufmeta.Root, 1, nil)
	if err != nil {
		if a.in.Ahead {
			a.foreseeRoots(2, 2)
		}
		return nil, err
	}
	if !f.Exists() {
		return nil, fmt.Errorf("it has no root: %w", ErrNotBootstrapped)
	}
	root, err := f.Follow(nil)
	if err != nil {
		return nil, a.reject(tufmeta.Root, f, err)
	}
	return root, nil
}

// checkExpiry returns ErrRootExpired if clients accept nothing below the root any more.
func checkExpiry(root *tufmeta.RootDocument, now time.Time) error {
	if expires := root.Expires(); !now.Before(expires) {
		return fmt.Errorf("root version %d expired at %s: %w", root.Version(), expires.Format(time.RFC3339),
			ErrRootExpired)
	}
	return nil
}
