package refserver

import (
	"context"
	"sync"

	"github.com/tufonline/tufonline/storage"
)

// maxReads is how many files are read from the store at once.
const maxReads = 32

// copies keeps one copy of each file that is being sent. A client may read its answer as slowly as
// it likes, but the memory that this costs is that of the files there are, not of the clients.
type copies struct {
	store   storage.Store
	reading chan struct{} // holds a value for each read

	mu   sync.Mutex
	sent map[fileID]*sharedFile
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

// open reads a file anew, so that nobody gets an older state than the store's, and returns its
// bytes, which are not to be changed. Unless there is an error, release has to be called when they
// are no longer needed.
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
