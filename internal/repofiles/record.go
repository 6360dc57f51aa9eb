package repofiles

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// ErrUnreadable says that what is remembered of an app cannot be read, although the store has it.
var ErrUnreadable = errors.New("what is remembered of the app cannot be read")

// A Record keeps the marks of apps in a store, one object an app. Records in several processes may
// share a store. Its methods may be called from many goroutines at once.
type Record struct {
	store storage.Store // retried
	local bool          // the store is this process's

	mu   sync.Mutex
	apps map[string]recorded // as this process has last read or written them
	met  map[string]bool     // apps that were seen
}

// recorded is an object.
type recorded struct {
	marks   Marks // shared, so it is cloned before it is changed
	version storage.Version
}

// NewRecord returns the Record in a store. If store is nil, marks stay in this process.
func NewRecord(store storage.Store) *Record {
	local := store == nil
	if local {
		store = storage.NewMemory(storage.MemoryOptions{})
	}
	return &Record{store: Retry(store), local: local, apps: map[string]recorded{}, met: map[string]bool{}}
}

// See notes what was seen of an app, and reports whether nothing was seen or remembered of it
// before. A process that remembers for itself adds it to the app's marks. Shared marks are of what
// was published: an app that is forgotten there is forgotten.
func (r *Record) See(ctx context.Context, app string, remembered, seen Marks) (first bool, err error) {
	if r.local {
		err = r.Write(ctx, app, seen)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	first = remembered.Empty() && !r.met[app]
	r.met[app] = true
	return first, err
}

// Read returns the marks of an app as the store has them now. They are empty if nothing is
// remembered. The error wraps ErrUnreadable if the store has something else than the app's marks.
func (r *Record) Read(ctx context.Context, app string) (Marks, error) {
	object, err := r.read(ctx, app)
	return object.marks.Clone(), err
}

// Write adds marks to those of an app, and returns once they are durable. It writes nothing if the
// store has them, as far as this process knows. Its usual cost is one request. Its errors are those
// of Read, and of the store.
func (r *Record) Write(ctx context.Context, app string, marks Marks) error {
	object, known := r.known(app)
	for try := 0; ; try++ {
		if err := r.pause(ctx, app, try); err != nil {
			return err
		}
		if !known {
			var err error
			if object, err = r.read(ctx, app); err != nil {
				return err
			}
		}
		next := object.marks.Clone()
		if !next.Merge(marks) {
			return nil
		}
		err := r.replace(ctx, app, object.version, next)
		if !errors.Is(err, storage.ErrConflict) || try == recordTries {
			return err
		}
		known = false // another writer was faster
	}
}

// Forget removes what is remembered of an app, also if it cannot be read, and returns what that
// was: the zero Marks if nothing was.
func (r *Record) Forget(ctx context.Context, app string) (Marks, error) {
	for try := 0; ; try++ {
		if err := r.pause(ctx, app, try); err != nil {
			return Marks{}, err
		}
		object, err := r.read(ctx, app)
		if err != nil && !errors.Is(err, ErrUnreadable) {
			return Marks{}, err
		}
		was := object.marks
		if was.Empty() {
			was = Marks{}
		}
		if err != nil { // something was
			was.Roles = map[string][]Mark{}
		}
		deleter, ok := storage.As[storage.Deleter](r.store)
		switch {
		case ok:
			if err = deleter.Delete(ctx, recordKey(app)); err != nil {
				err = fmt.Errorf("removing what is remembered of the app: %w", err)
			}
		case err == nil && object.marks.Empty():
		case err != nil && object.version == storage.Absent: // it is too large, so its version is not known
			return Marks{}, err
		default:
			err = r.replace(ctx, app, object.version, Marks{})
		}
		if errors.Is(err, storage.ErrConflict) && try < recordTries {
			continue
		}
		if err != nil {
			return Marks{}, err
		}
		r.drop(app)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.met, app)
		return was, nil
	}
}

const (
	recordTries = 20 // after the first
	recordPause = 5 * time.Millisecond
)

// pause waits before a try after the first, longer each time.
func (r *Record) pause(ctx context.Context, app string, try int) error {
	if try == 0 {
		return nil
	}
	r.drop(app)
	timer := time.NewTimer(rand.N(time.Duration(try) * recordPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read reads an object. It does not parse again what it knows.
func (r *Record) read(ctx context.Context, app string) (recorded, error) {
	key := recordKey(app)
	stored, err := r.store.Get(ctx, key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		r.drop(app)
		return recorded{}, nil
	case errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrInvalidKey):
		return recorded{}, unreadable(key, err)
	case err != nil:
		return recorded{}, fmt.Errorf("reading what is remembered of the app: %w", err)
	}
	if object, ok := r.known(app); ok && object.version == stored.Version {
		return object, nil
	}
	marks, err := decodeMarks(app, stored.Data)
	if err != nil {
		return recorded{version: stored.Version}, unreadable(key, err)
	}
	object := recorded{marks, stored.Version}
	r.keep(app, object)
	return object, nil
}

func unreadable(key string, err error) error {
	return fmt.Errorf("%w: %s: %w: restore that object from a backup, or have the app forgotten", ErrUnreadable, key, err)
}

// replace writes marks in the place of a version.
func (r *Record) replace(ctx context.Context, app string, old storage.Version, marks Marks) error {
	data, err := encodeMarks(app, marks)
	if err != nil {
		return err
	}
	version, err := r.store.Replace(ctx, recordKey(app), old, data)
	if err != nil {
		return fmt.Errorf("remembering what was published: %w", err)
	}
	r.keep(app, recorded{marks, version})
	return nil
}

// recordKey returns the key of an app's marks.
func recordKey(app string) string { return app + ".json" }

func (r *Record) known(app string) (recorded, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	object, ok := r.apps[app]
	return object, ok
}

func (r *Record) keep(app string, object recorded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apps[app] = object
}

func (r *Record) drop(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.apps, app)
}
