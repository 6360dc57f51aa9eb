package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A view is an app's files as one attempt to do something with them sees them: each is read at most
// once. It may trust what is remembered, that is, take it that nobody has written since. Then an
// attempt need not read before it writes; what it took for granted it has to confirm before, or
// while, it makes what it has written count.
type view struct {
	store    storage.Store
	app      string
	goal     string // the top-level role up to which files will be asked for
	known    *state // nil: nothing
	trusting bool

	listedOnly bool // what is not listed yet will not be asked for

	mu      sync.Mutex
	reads   map[string]*read           // by key
	assumed map[string]storage.Version // by key: what is taken for granted; Absent: there is no such file
}

// A read is a file that is being read, or has been.
type read struct {
	ctx  context.Context // of whoever began it
	done chan struct{}
	file *file
	err  error
}

func newView(store storage.Store, app, goal string, known *state) *view {
	return &view{
		store: store, app: app, goal: goal, known: known, trusting: known != nil,
		reads: map[string]*read{}, assumed: map[string]storage.Version{},
	}
}

// again returns a view for the next attempt, after one that has failed. It trusts nothing that may
// change, but what has a name of its own it need not read again.
func (v *view) again() *view {
	s := &state{files: v.files()}
	if v.known != nil {
		s.roots = v.known.roots
	}
	next := newView(v.store, v.app, v.goal, s)
	next.trusting = false
	return next
}

// files returns the files that have been used, by key, but for those that could not be read.
func (v *view) files() map[string]*file {
	v.mu.Lock()
	defer v.mu.Unlock()
	files := map[string]*file{}
	for key, r := range v.reads {
		select {
		case <-r.done:
			if r.err == nil {
				files[key] = r.file
			}
		default: // nobody has waited for it
		}
	}
	return files
}

// listed returns a file that some document lists by a version that its name carries: it never
// changes.
func (v *view) listed(ctx context.Context, key string) (*file, error) {
	if f := v.remembered(key); f != nil && f.settled.Load() {
		v.use(f)
		return f, nil
	}
	return v.get(ctx, key)
}

// current returns a file that changes.
func (v *view) current(ctx context.Context, key string) (*file, error) {
	if f := v.remembered(key); f != nil && v.trusting {
		v.use(f)
		v.assume(key, f.version)
		return f, nil
	}
	return v.get(ctx, key)
}

// next returns a file that may be there, since somebody is about to list it.
func (v *view) next(ctx context.Context, key string) (*file, error) {
	if !v.trusting || v.remembered(key) != nil {
		return v.current(ctx, key)
	}
	v.assume(key, storage.Absent)
	return nil, fmt.Errorf("%s: taken to be absent: %w", key, storage.ErrNotFound)
}

func (v *view) remembered(key string) *file {
	if v.known == nil {
		return nil
	}
	return v.known.files[key]
}

func (v *view) use(f *file) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reads[f.key] == nil {
		done := make(chan struct{})
		close(done)
		v.reads[f.key] = &read{done: done, file: f}
	}
}

func (v *view) assume(key string, version storage.Version) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.assumed[key] = version
}

// get reads a file, or waits for it if it is being read already.
func (v *view) get(ctx context.Context, key string) (*file, error) {
	for {
		r := v.begin(ctx, key)
		select {
		case <-r.done:
			if r.err != nil && !errors.Is(r.err, storage.ErrNotFound) && r.ctx.Err() != nil && ctx.Err() == nil {
				continue // it was given up by whoever began it
			}
			return r.file, r.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// ahead begins to read files that will be asked for, lest one waits for the other.
func (v *view) ahead(ctx context.Context, keys ...string) {
	if v.trusting {
		return // it will ask for none of them
	}
	for _, key := range keys {
		if f := v.remembered(key); f == nil || !f.settled.Load() {
			v.begin(ctx, key)
		}
	}
}

func (v *view) begin(ctx context.Context, key string) *read {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.reads[key]
	if r == nil {
		r = &read{ctx: ctx, done: make(chan struct{})}
		v.reads[key] = r
		go func() {
			defer close(r.done)
			if r.file, r.err = readFile(ctx, v.store, key); r.err != nil && !errors.Is(r.err, storage.ErrNotFound) {
				v.mu.Lock()
				defer v.mu.Unlock()
				delete(v.reads, key) // it may have been given up, and be asked for again
			}
		}()
	}
	return r
}

// discard forgets a file that cannot be trusted if it is large: there may be many such. Whoever
// asks for it reads it again.
func (v *view) discard(key string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.reads[key]
	if r == nil {
		return
	}
	select {
	case <-r.done:
		if r.file != nil && r.file.size() > large {
			delete(v.reads, key)
		}
	default: // somebody reads it again already
	}
}

// confirm checks that all that was taken for granted is so, but for keys that the attempt itself
// replaces. The error wraps errStale if not.
func (v *view) confirm(ctx context.Context, replaced map[string]bool) error {
	v.mu.Lock()
	assumed := maps.Clone(v.assumed)
	v.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for key, version := range assumed {
		if replaced[key] {
			continue
		}
		group.Go(func() error {
			object, err := v.store.Get(ctx, key)
			switch {
			case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrInvalidKey):
			case err != nil:
				return errorf(v.app, "reading "+key, err)
			}
			if object.Version != version || errors.Is(err, storage.ErrTooLarge) {
				return errorf(v.app, key, errStale)
			}
			return nil
		})
	}
	return group.Wait()
}

// errStale says that others have written since what is remembered was read.
var errStale = errors.New("it has changed")

// A file is what lies under a key of the store.
type file struct {
	*tufmeta.Document // nil if it is none
	key               string
	version           storage.Version
	problem           error       // why it is no document
	settled           atomic.Bool // it is what was listed, and verified: under a name of its own, it will not change

	mu          sync.Mutex
	verified    []*tufmeta.Verified // by the roles by which it was
	delegations func() (*tufmeta.Delegations, error)
}

func newFile(key string, version storage.Version, d *tufmeta.Document, problem error) *file {
	f := &file{Document: d, key: key, version: version, problem: problem}
	f.delegations = sync.OnceValues(func() (*tufmeta.Delegations, error) { return tufmeta.ParseDelegations(f.Document) })
	return f
}

// readFile reads a file. What is no document is a file with a problem.
func readFile(ctx context.Context, store storage.Store, key string) (*file, error) {
	object, err := store.Get(ctx, key)
	if errors.Is(err, storage.ErrTooLarge) {
		return newFile(key, storage.Absent, nil, storage.ErrTooLarge), nil
	}
	if err != nil {
		return nil, err
	}
	d, err := tufmeta.Parse(object.Data)
	return newFile(key, object.Version, d, err), nil
}

// verify is role.Verify, which is done once.
func (f *file) verify(role *tufmeta.Role) (*tufmeta.Verified, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.verified {
		if v.Role() == role || v.Role().Equal(role) {
			return v, nil
		}
	}
	v, err := role.Verify(f.Document)
	if err == nil {
		f.verified = append(f.verified, v)
	}
	return v, err
}

// size estimates the memory in bytes that a file takes.
func (f *file) size() int64 {
	if f.Document == nil {
		return 0
	}
	return f.Size()
}
