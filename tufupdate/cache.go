package tufupdate

import (
	"container/list"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A state is what is remembered of an app: files as they were read or written, verified. It is
// never changed. What it says may be out of date; see view.
type state struct {
	roots []*tufmeta.RootDocument // from the pinned one to the newest
	files map[string]*file        // by key
}

// size estimates the memory in bytes that a state takes.
func (s *state) size() int64 {
	const overhead = 1 << 10
	size := int64(overhead)
	for _, root := range s.roots {
		size += overhead + 4*root.Size() // its keys, above all
	}
	for _, f := range s.files {
		size += overhead/4 + f.size()
	}
	return size
}

// A cache holds states of apps, up to a limit of bytes. Those that were not used for longest go
// first.
type cache struct {
	limit int64

	mu   sync.Mutex
	size int64
	apps map[string]*list.Element // of *cached
	used list.List                // most recently used first
}

type cached struct {
	app   string
	size  int64
	state *state
}

func newCache(limit int64) *cache { return &cache{limit: limit, apps: map[string]*list.Element{}} }

// get returns what is remembered of an app, nil if nothing is.
func (c *cache) get(app string) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.apps[app]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*cached).state //nolint:forcetypeassert // the list holds nothing else
}

// put remembers an app's state in place of what was remembered before.
func (c *cache) put(app string, s *state) {
	size := s.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.apps[app])
	if size > c.limit {
		return
	}
	c.apps[app] = c.used.PushFront(&cached{app, size, s})
	c.size += size
	for c.size > c.limit {
		c.remove(c.used.Back())
	}
}

// add remembers an app's state if nothing is remembered of it.
func (c *cache) add(app string, s *state) {
	if c.get(app) == nil {
		c.put(app, s)
	}
}

// drop forgets an app.
func (c *cache) drop(app string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.apps[app])
}

func (c *cache) remove(e *list.Element) {
	if e == nil {
		return
	}
	gone := c.used.Remove(e).(*cached) //nolint:forcetypeassert // the list holds nothing else
	delete(c.apps, gone.app)
	c.size -= gone.size
}
