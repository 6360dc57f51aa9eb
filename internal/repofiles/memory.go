package repofiles

import (
	"container/list"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

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

// A Memory is the cached files of apps. States stay as far as there is room; those that were not
// used for longest go first. Its methods may be called from many goroutines at once.
type Memory struct {
	limit int64

	mu     sync.Mutex
	apps   map[string]*cached
	size   int64
	recent list.List // of *cached, most recently used first
}

type cached struct {
	app   string
	state State
	size  int64
	place *list.Element
}

// NewMemory returns a Memory whose states take at most limit bytes.
func NewMemory(limit int64) *Memory { return &Memory{limit: limit, apps: map[string]*cached{}} }

// State returns what is cached of an app's files, the zero State if nothing is.
func (m *Memory) State(app string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.apps[app]
	if c == nil {
		return State{}
	}
	m.recent.MoveToFront(c.place)
	return c.state
}

// Commit caches an app's state in place of the one before.
func (m *Memory) Commit(app string, s State) {
	size := s.size()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(m.apps[app])
	if size > m.limit {
		return
	}
	c := &cached{app: app, state: s, size: size}
	c.place = m.recent.PushFront(c)
	m.apps[app] = c
	m.size += size
	for m.size > m.limit {
		m.forget(m.recent.Back().Value.(*cached)) //nolint:forcetypeassert // holds nothing else
	}
}

// Offer caches an app's state if there is none.
func (m *Memory) Offer(app string, s State) {
	if m.State(app).Files == nil {
		m.Commit(app, s)
	}
}

// Forget drops an app's state.
func (m *Memory) Forget(app string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(m.apps[app])
}

func (m *Memory) forget(c *cached) {
	if c == nil {
		return
	}
	m.recent.Remove(c.place)
	m.size -= c.size
	delete(m.apps, c.app)
}
