package tufupdate

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A memory is what an Updater knows of the apps that it has seen: which roots it trusts, and the newest timestamp and snapshot. So that
// whoever can write to the store can neither swap the root nor take a repository back to an earlier state while the process lives.
type memory struct {
	mu   sync.Mutex
	apps map[string]*seen
}

type seen struct {
	roots []*tufmeta.RootDocument
	marks map[string]mark // of timestamp and snapshot
}

// A mark is the newest document of a role that was seen, and the role that signed it: after a rotation of its keys, clients forget what
// they saw (specification 5.3.11), and so does a mark.
type mark struct {
	version int64
	sum     [sha256.Size]byte
	role    *tufmeta.Role
}

func newMemory() *memory { return &memory{apps: map[string]*seen{}} }

func (m *memory) roots(app string) []*tufmeta.RootDocument {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.apps[app]; s != nil {
		return slices.Clone(s.roots)
	}
	return nil
}

// pin remembers verified roots and returns those that count: the first set that was seen, as far as it goes. So two loads that
// began before anything was pinned cannot trust different roots.
func (m *memory) pin(app string, roots []*tufmeta.RootDocument) []*tufmeta.RootDocument {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.apps[app]
	if s == nil {
		s = &seen{marks: map[string]mark{}}
		m.apps[app] = s
	}
	n := len(s.roots)
	if n < len(roots) && (n == 0 || same(s.roots[n-1].Verified, roots[n-1].Verified)) {
		s.roots = slices.Clone(roots)
	}
	return slices.Clone(s.roots)
}

// seen returns the newest documents that were seen so far, by role. Take it before anything is read: a timestamp that was read a moment ago
// leads to a snapshot that may be older than what others have published and seen since.
func (m *memory) seen(app string) map[string]mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.apps[app]; s != nil {
		return maps.Clone(s.marks)
	}
	return nil
}

// remember takes note of a verified document of an app that has been pinned. rotated says that its keys have been replaced since: then
// it takes the place of no document that other keys have signed.
func (m *memory) remember(app string, v *tufmeta.Verified, rotated bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	marks, role := m.apps[app].marks, v.Role().Name
	old := marks[role]
	if old.role != nil {
		sameKeys := old.role.Equal(v.Role())
		if sameKeys && old.version >= v.Version() || !sameKeys && rotated {
			return
		}
	}
	marks[role] = mark{v.Version(), sha256.Sum256(v.Bytes()), v.Role()}
}

// check returns an error if a document is from before the mark. By current, clients verify now.
func (k mark) check(v *tufmeta.Verified, current *tufmeta.Role) error {
	switch {
	case k.role == nil:
		return nil
	case k.role.Equal(v.Role()):
		if v.Version() < k.version {
			return fmt.Errorf("version %d has been seen before", k.version)
		}
		if v.Version() == k.version && sha256.Sum256(v.Bytes()) != k.sum {
			return fmt.Errorf("version %d has been seen before with other content", k.version)
		}
	case k.role.Equal(current):
		return fmt.Errorf("version %d, signed by the role's present keys, has been seen before", k.version)
	}
	return nil
}
