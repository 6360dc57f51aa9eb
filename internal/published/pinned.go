package published

import (
	"fmt"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Rule 0: the pin comes first, and memory after it. Nothing is signed below the pinned root, or
// below what is remembered. Roots are followed from the pinned one (roots.go).

// PinnedRoot reads a root that the operator has pinned.
func PinnedRoot(data []byte) (*tufmeta.RootDocument, error) {
	d, err := tufmeta.Parse(data)
	if err != nil {
		return nil, err
	}
	return tufmeta.ParseRoot(d)
}

// forgetting is the way out where a repository was put back on purpose.
const forgetting = "if the repository was put back or made anew on purpose, forget the app"

// checkRoots returns an error if roots that follow each other are not those that are remembered, or
// lack the newest of these.
func checkRoots(mark repofiles.Mark, roots []*tufmeta.RootDocument) error {
	for _, root := range roots {
		if root.Version() == mark.Version && root.SignedSum() != mark.Sum {
			return fmt.Errorf("version %d is remembered with other content: %s", mark.Version, forgetting)
		}
	}
	if roots[len(roots)-1].Version() < mark.Version {
		return fmt.Errorf("version %d is remembered, and is not there: %s", mark.Version, forgetting)
	}
	return nil
}

// checkListedMarks returns an error if the next snapshot would list an older version of a role than
// is remembered.
func (a *Assembly) checkListedMarks() error {
	if a.repo.Snapshot == nil {
		return nil // makeSnapshot has looked
	}
	signed := map[string]bool{}
	for _, base := range a.repo.Sign {
		signed[base.role.Name] = true
	}
	for name := range a.in.Marks.Roles {
		role := a.declaredRole(name)
		if role == nil || signed[name] {
			continue
		}
		mark, listed := a.in.Marks.Of(role), a.listedVersion(name)
		if d := a.repo.Accepted[name]; d != nil {
			listed = d.Version()
		}
		if listed < mark.Version {
			return a.reject(tufmeta.Snapshot, a.repo.Snapshot.file, fmt.Errorf("it lists role %s version %d, and %d is "+
				"remembered: %s", name, listed, mark.Version, forgetting))
		}
	}
	return nil
}

// remembered returns an error if a document of a role is from before what is remembered. What only
// replaced keys have signed does not matter.
func (a *Assembly) remembered(role *tufmeta.Role, f *repofiles.File) error {
	mark := a.in.Marks.Of(role)
	switch version := f.Version(); {
	case version < mark.Version:
		return fmt.Errorf("version %d is remembered: %s", mark.Version, forgetting)
	case version == mark.Version && f.SignedSum() != mark.Sum:
		return fmt.Errorf("version %d is remembered with other content: %s", mark.Version, forgetting)
	}
	return nil
}
