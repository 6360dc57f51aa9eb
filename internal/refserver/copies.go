package refserver

import (
	"context"
	"sync"

	"github.com/tufonline/tufonline/storage"
)

// maxReads is how many files are read from the store at once.
const maxReads = 32

// copies keeps one copy of each file that is being sent. Slow clients share it, so that memory
// grows with the number of files and not with the number of clients.
type copies struct {
	store   storage.Store
	reading chan struct{} // holds a value for each read

	mu   sync.Mutex
	sent map[fileID]*sharedFile // files with readers
}

type fileID struct {
	key     string
	version storage.Version
}

type sharedFile struct {
	data    []byte
	readers int
}

func newCopies(store storage.Store) *copies {
	return &copies{store: store, reading: make(chan struct{}, maxReads), sent: make(map[fileID]*sharedFile)}
}

// open reads a file from the store each time, so that no client gets an older state. The caller
// must not change the bytes. It calls release, unless there is an error, when it no longer needs
// them.
func (c *copies) open(ctx context.Context, key string) (data []byte, release func(), err error) {
	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	object, err := c.store.Get(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	id := fileID{key, object.Version}

	c.mu.Lock()
	defer c.mu.Unlock()
	file := c.sent[id]
	if file == nil {
		file = &sharedFile{data: object.Data}
		c.sent[id] = file
	}
	file.readers++
	return file.data, func() { c.release(id) }, nil
}

func (c *copies) release(id fileID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[id].readers--
	if c.sent[id].readers == 0 {
		delete(c.sent, id)
	}
}
