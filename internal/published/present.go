package published

import (
	"fmt"
	"strings"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Rule 1: present keys decide. A document is signed over, or newly listed, only if a threshold of
// its role's present keys signed it. These are the keys that the newest root names, or that the
// role's declarer names (walk.go). To be newly listed, a threshold of the keys must have signed it
// too that the declarer's newest verified document names, even if that one cannot be accepted yet:
// its holders may have revoked a key with it.

// present returns a file as a document if it satisfies rule 1. The error names the keys.
func present(role *tufmeta.Role, f *repofiles.File) (*Document, error) {
	v, err := f.Verify(role)
	if err != nil {
		return nil, fmt.Errorf("by present keys: %w (%s)", err, keysOf(role, f))
	}
	return &Document{verified: v, file: f}, nil
}

// mayBeListed returns an error if an unlisted document that present keys have signed must not be
// listed, since the declarer's newest document names other keys.
func (n *node) mayBeListed(f *repofiles.File) error {
	switch {
	case n.by == nil || n.newest == n.role:
		return nil
	case n.newest == nil:
		return fmt.Errorf("the newest version of role %s does not delegate to it", n.by.role.Name)
	}
	if _, err := f.Verify(n.newest); err != nil {
		return fmt.Errorf("by the keys that the newest version of role %s names: %w", n.by.role.Name, err)
	}
	return nil
}

// shownKeys bounds the keys that an error names.
const shownKeys = 8

// keysOf says what each present key of a role has to do with a document.
func keysOf(role *tufmeta.Role, f *repofiles.File) string {
	signed := map[string]bool{}
	for _, digest := range f.SignedBy(role) {
		signed[digest] = true
	}
	var parts []string
	for i, k := range role.Keys {
		if i == shownKeys {
			parts = append(parts, "…")
			break
		}
		what := "has not signed"
		if problem := k.Problem(); problem != nil {
			what = problem.Error()
		} else if signed[k.Digest()] {
			what = "has signed"
		}
		parts = append(parts, fmt.Sprintf("key %s: %s", k.ID, what))
	}
	return strings.Join(parts, "; ")
}
