package tufupdate

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A trust is what an Updater never forgets of the apps that it has seen: which root it began with,
// and the newest root, timestamp and snapshot. So that whoever can write to the store can neither
// swap a root nor take a repository back to an earlier state while the process lives. It takes some
// hundred bytes an app.
type trust struct {
	mu   sync.Mutex
	apps map[string]*seen
}

type seen struct {
	firstRoot mark
	marks     map[string]mark // by role
}

// A mark is a document that was seen, and the role that signed it: after a rotation of its keys,
// clients forget what they saw (specification 5.3.11), and so does a mark.
type mark struct {
	version int64
	sum     [sha256.Size]byte
	role    string // its fingerprint
}

func newTrust() *trust { return &trust{apps: map[string]*seen{}} }

func markOf(v *tufmeta.Verified) mark {
	return mark{v.Version(), sha256.Sum256(v.Bytes()), v.Role().Fingerprint()}
}

// app returns what was seen of an app. The caller holds the lock.
func (t *trust) app(app string) *seen {
	s := t.apps[app]
	if s == nil {
		s = &seen{marks: map[string]mark{}}
		t.apps[app] = s
	}
	return s
}

// begin notes which root an app's trust begins with, and reports whether it is the first time. An
// error says that it began with another one.
func (t *trust) begin(app string, root *tufmeta.Verified) (first bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, now := t.app(app), markOf(root)
	if first = s.firstRoot.version == 0; first {
		s.firstRoot = now
	}
	if s.firstRoot != now {
		return false, fmt.Errorf("another root, of version %d, has been trusted before", s.firstRoot.version)
	}
	return first, nil
}

// follow notes roots that follow each other, and returns an error if they are not those that were
// seen before, or lack the newest of them.
func (t *trust) follow(app string, roots []*tufmeta.RootDocument) error {
	newest := markOf(roots[len(roots)-1].Verified)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.app(app)
	known := s.marks[tufmeta.Root]
	for _, root := range roots {
		if root.Version() == known.version && markOf(root.Verified) != known {
			return fmt.Errorf("version %d has been seen before with other content", known.version)
		}
	}
	if newest.version < known.version {
		return fmt.Errorf("version %d has been seen before, and is not there", known.version)
	}
	s.marks[tufmeta.Root] = newest
	return nil
}

// seen returns the newest documents that were seen so far, by role. Take it before anything is
// read: a timestamp that was read a moment ago leads to a snapshot that may be older than what
// others have published and seen since.
func (t *trust) seen(app string) map[string]mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.app(app).marks)
}

// remember takes note of a verified document. rotated says that its keys have been replaced since:
// then it takes the place of no document that other keys have signed.
func (t *trust) remember(app string, v *tufmeta.Verified, rotated bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	marks, role, now := t.app(app).marks, v.Role().Name, markOf(v)
	if old := marks[role]; old.version != 0 {
		sameKeys := old.role == now.role
		if sameKeys && old.version >= now.version || !sameKeys && rotated {
			return
		}
	}
	marks[role] = now
}

// check returns an error if a document is from before the mark. By current, clients verify now.
func (k mark) check(v *tufmeta.Verified, current *tufmeta.Role) error {
	switch {
	case k.version == 0:
		return nil
	case k.role == v.Role().Fingerprint():
		if v.Version() < k.version {
			return fmt.Errorf("version %d has been seen before", k.version)
		}
		if v.Version() == k.version && sha256.Sum256(v.Bytes()) != k.sum {
			return fmt.Errorf("version %d has been seen before with other content", k.version)
		}
	case k.role == current.Fingerprint():
		return fmt.Errorf("version %d, signed by the role's present keys, has been seen before", k.version)
	}
	return nil
}
