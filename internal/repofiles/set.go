package repofiles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/storage"
)

// Parallel is how many files of one app are read at the same time.
const Parallel = 32

// ErrStale says that another writer has written since the remembered files were read.
var ErrStale = errors.New("it has changed")

// A Set is an app's files as one attempt sees them: each is read at most once. A trusting Set takes
// remembered files for what the store holds, so that an attempt need not read before it writes. The
// attempt has to [Set.Confirm] that before, or while, it makes count what it writes.
//
// Its methods are for one goroutine.
type Set struct {
	// Marks are what was remembered of the app before the first file was read. If nil, no file was.
	// Another goroutine may see newer documents than those in the Set.
	Marks *Marks

	store    storage.Store
	known    State // remembered
	trusting bool
	repeated bool // see Repeated

	read    map[string]*File
	assumed map[string]storage.Version // taken for granted, by name; Absent: there is no such file
	names   *Names                     // nil: not listed yet
}

// NewSet returns a Set of files in a store, of which some are remembered. It is trusting if asked
// to be and if anything is remembered.
func NewSet(store storage.Store, remembered State, trusting bool) *Set {
	return &Set{
		store: store, known: remembered, trusting: trusting && remembered.Files != nil,
		read: map[string]*File{}, assumed: map[string]storage.Version{},
	}
}

// Again returns the Set of the next attempt after one that has failed. It is not trusting, but does
// not read again what never changes: files that were read or written for an earlier attempt, or are
// remembered, whether or not an attempt came to need them.
func (s *Set) Again() *Set {
	files := maps.Clone(s.known.Files)
	if files == nil {
		files = map[string]*File{}
	}
	maps.Copy(files, s.Files())
	again := NewSet(s.store, State{s.known.Roots, files}, false)
	again.repeated = s.known.Files != nil
	return again
}

// Repeated reports whether the Set is that of another attempt, and files are remembered of the app.
func (s *Set) Repeated() bool { return s.repeated }

// Trusting reports whether remembered files are taken for what the store holds.
func (s *Set) Trusting() bool { return s.trusting }

// Files returns the files that were used, by name, but for those that do not exist, and for large
// ones that do not verify: an attacker may have put many there.
func (s *Set) Files() map[string]*File {
	files := make(map[string]*File, len(s.read))
	for name, f := range s.read {
		if f.Exists() && !f.rejected() {
			files[name] = f
		}
	}
	return files
}

// Remembered returns the state that the Set was given.
func (s *Set) Remembered() State { return s.known }

// File returns a file without reading the store. It reports false if the file has to be fetched.
func (s *Set) File(r Request) (*File, bool) {
	if f := s.read[r.Name]; f != nil {
		return f, r.By == nil || !f.rejected() || f.Document != nil || f.judged(r.By)
	}
	f := s.known.Files[r.Name]
	switch {
	case f != nil && r.Kind == Listed && f.settled.Load():
	case f != nil && r.Kind != Listed && s.trusting:
		s.assumed[r.Name] = f.Stored
	case f == nil && r.Kind == Next && s.trusting:
		s.assumed[r.Name] = storage.Absent
		f = newFile(r.Name, storage.Absent, nil, storage.ErrNotFound)
	default:
		return nil, false
	}
	s.read[r.Name] = f
	return f, true
}

// Fetch reads files, many at a time. What the store answers becomes a File, also that there is
// none. An error says that the store did not answer; then the files that were read stay.
//
// ahead are files that may be needed later, a few. They are read at the same time as the needed
// ones. Fetch gives up those that take more than twice as long.
func (s *Set) Fetch(ctx context.Context, needed, ahead []Request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batch := &batch{read: map[string]*File{}}
	defer func() { maps.Copy(s.read, batch.end()) }()
	asked := map[string]bool{}
	begun := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(Parallel)
	var guessed sync.WaitGroup // beyond the limit, since they are few
	for _, r := range needed {
		if !asked[r.Name] {
			asked[r.Name] = true
			before := s.read[r.Name]
			group.Go(func() error { return batch.fetch(groupCtx, s.store, r, before) })
		}
	}
	for _, r := range ahead {
		if !asked[r.Name] && len(needed) > 0 {
			asked[r.Name] = true
			guessed.Go(func() { _ = batch.fetch(ctx, s.store, r, nil) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	all := make(chan struct{})
	go func() {
		guessed.Wait()
		close(all)
	}()
	patience, done := context.WithTimeout(ctx, time.Since(begun))
	defer done()
	select {
	case <-all:
	case <-patience.Done():
	}
	return nil
}

// Names are the names of an app's files.
type Names struct {
	All []string
	Err error // why they are not known
}

// Names returns the names of an app's files, and reports false if they have to be listed.
func (s *Set) Names() (Names, bool) {
	if s.names == nil {
		return Names{}, false
	}
	return *s.names, true
}

// List lists the names of an app's files. That the store cannot be listed is an answer.
func (s *Set) List(ctx context.Context, app string) error {
	lister, ok := storage.As[storage.Lister](s.store)
	if !ok {
		s.names = &Names{Err: errors.New("the store cannot be listed")}
		return nil
	}
	all, err := retry(ctx, 0, func(ctx context.Context) ([]string, error) { return lister.List(ctx, app+"/") })
	if err != nil {
		return fmt.Errorf("listing %s/: %w", app, err)
	}
	s.names = &Names{All: all}
	return nil
}

// A batch gathers files that are being read.
type batch struct {
	mu    sync.Mutex
	read  map[string]*File
	ended bool
}

// fetch reads a file. before is what is known of it already.
func (b *batch) fetch(ctx context.Context, store storage.Store, r Request, before *File) error {
	f, err := readFile(ctx, store, r, before)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.Name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.read[r.Name] = f
	}
	return nil
}

// end returns the files that were read. Files that come later are dropped.
func (b *batch) end() map[string]*File {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.read
}

// Confirm checks that the store holds what the Set has taken for granted, but for the names that
// the attempt itself writes. The error wraps ErrStale if another writer has written.
func (s *Set) Confirm(ctx context.Context, written map[string]bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Parallel)
	for name, version := range maps.All(s.assumed) {
		if written[name] {
			continue
		}
		group.Go(func() error {
			object, err := s.store.Get(ctx, name)
			switch {
			case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrInvalidKey):
			case errors.Is(err, storage.ErrTooLarge):
				return fmt.Errorf("%s: %w", name, ErrStale)
			case err != nil:
				return fmt.Errorf("reading %s: %w", name, err)
			}
			if object.Version != version {
				return fmt.Errorf("%s: %w", name, ErrStale)
			}
			return nil
		})
	}
	return group.Wait()
}
