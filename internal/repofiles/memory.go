package repofiles

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A Mark is a verified document that was seen: no earlier one is accepted after it.
type Mark struct {
	Version int64 // 0: none was seen
	Sum     [sha256.Size]byte
	Role    string // the fingerprint of the role that verified it
}

// MarkOf returns the mark of a document.
func MarkOf(v *tufmeta.Verified) Mark {
	return Mark{v.Version(), sha256.Sum256(v.Bytes()), v.Role().Fingerprint()}
}

// Marks are the newest documents that were seen of an app, by role.
type Marks map[string]Mark

// A State is an app's files as they were read or written, verified. It is never changed. The store
// may hold others by now; see [Set].
type State struct {
	Roots []*tufmeta.RootDocument // from the trusted one to the newest
	Files map[string]*File        // by name
}

// size estimates the memory in bytes that a state takes.
func (s *State) size() int64 {
	const overhead = 1 << 10
	size := int64(overhead)
	for _, root := range s.Roots {
		size += overhead + 4*root.Size() // its keys, above all
	}
	for _, f := range s.Files {
		size += overhead/4 + f.size()
	}
	return size
}

// A Memory is what an Updater remembers of apps. Marks stay as long as it lives, so that an
// attacker who can write to the store can neither swap a root nor take a repository back to an
// earlier state. They take some hundred bytes an app. States stay as far as there is room; those
// that were not used for longest go first. Its methods may be called from many goroutines at once.
type Memory struct {
	limit int64

	mu     sync.Mutex
	apps   map[string]*remembered
	size   int64
	recent list.List // of *remembered with a state, most recently used first
}

type remembered struct {
	app   string
	first Mark // the root that trust began with, if none is pinned
	marks Marks

	state *State // nil: none
	size  int64
	place *list.Element
}

// NewMemory returns a Memory whose states take at most limit bytes.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, apps: map[string]*remembered{}}
}

// app returns what is remembered of an app. The caller holds the lock.
func (m *Memory) app(app string) *remembered {
	r := m.apps[app]
	if r == nil {
		r = &remembered{app: app, marks: Marks{}}
		m.apps[app] = r
	}
	return r
}

// Marks returns what was seen of an app so far, never nil. Take it before anything is read: another
// goroutine may see newer documents than the one that is being read.
func (m *Memory) Marks(app string) Marks {
	m.mu.Lock()
	defer m.mu.Unlock()
	marks := Marks{}
	if r := m.apps[app]; r != nil {
		maps.Copy(marks, r.marks)
	}
	return marks
}

// State returns what is remembered of an app's files, the zero State if nothing is.
func (m *Memory) State(app string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.apps[app]
	if r == nil || r.state == nil {
		return State{}
	}
	m.recent.MoveToFront(r.place)
	return *r.state
}

// Begin notes which root an app's trust begins with where none is pinned, and reports whether it is
// the first time. An error says that trust began with another root.
func (m *Memory) Begin(app string, root *tufmeta.Verified) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, now := m.app(app), MarkOf(root)
	if first = r.first.Version == 0; first {
		r.first = now
	}
	if r.first != now {
		return false, fmt.Errorf("another root, of version %d, has been trusted before", r.first.Version)
	}
	return first, nil
}

// See notes a verified document. replaced says that it is signed by replaced keys: then it does not
// supersede a document that other keys have signed.
func (m *Memory) See(app string, v *tufmeta.Verified, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	marks, role, now := m.app(app).marks, v.Role().Name, MarkOf(v)
	if old := marks[role]; old.Version != 0 {
		// Root has no earlier keys: each root is verified by the one before it.
		sameKeys := old.Role == now.Role || role == tufmeta.Root
		if sameKeys && old.Version >= now.Version || !sameKeys && replaced {
			return
		}
	}
	marks[role] = now
}

// Commit remembers an app's state in place of the one before.
func (m *Memory) Commit(app string, s State) {
	size := s.size()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.app(app)
	m.forget(r)
	if size > m.limit {
		return
	}
	r.state, r.size, r.place = &s, size, m.recent.PushFront(r)
	m.size += size
	for m.size > m.limit {
		m.forget(m.recent.Back().Value.(*remembered)) //nolint:forcetypeassert // holds nothing else
	}
}

// Offer remembers an app's state if there is none.
func (m *Memory) Offer(app string, s State) {
	if m.State(app).Files == nil {
		m.Commit(app, s)
	}
}

// Forget drops an app's state. Its marks stay.
func (m *Memory) Forget(app string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.apps[app]; r != nil {
		m.forget(r)
	}
}

func (m *Memory) forget(r *remembered) {
	if r.state == nil {
		return
	}
	m.recent.Remove(r.place)
	m.size -= r.size
	r.state, r.size, r.place = nil, 0, nil
}
