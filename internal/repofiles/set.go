package repofiles

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

const (
	// Parallel is how many files of one app are read at the same time.
	Parallel = 32
	// large is the size in bytes from which on it pays to read a file with two processors.
	large = 1 << 18
)

// ErrStale says that another writer has written since the remembered files were read.
var ErrStale = errors.New("it has changed")

// A Set is an app's files as one attempt sees them: each is read at most once. A trusting Set takes
// remembered files for what the store holds, so that an attempt need not read before it writes. The
// attempt has to [Set.Confirm] that before, or while, it makes count what it writes.
//
// Its methods are for one goroutine.
type Set struct {
	store    storage.Store
	known    State // remembered
	trusting bool

	read    map[string]*File
	assumed map[string]storage.Version // taken for granted, by name; Absent: there is no such file
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
// not read again what never changes.
func (s *Set) Again() *Set { return NewSet(s.store, State{s.known.Roots, s.Files()}, false) }

// Trusting reports whether remembered files are taken for what the store holds.
func (s *Set) Trusting() bool { return s.trusting }

// Files returns the files that were used, by name, but for those that do not exist or were shed.
func (s *Set) Files() map[string]*File {
	files := make(map[string]*File, len(s.read))
	for name, f := range s.read {
		if f.Exists() && !f.shed() {
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
		if r.By != nil && f.shed() && f.verdict(r.By) == nil {
			return nil, false
		}
		return f, true
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
// none. An error says that the store did not answer; then the files that were read stay. ahead are
// files that may be needed later, a few. They are read at the same time. If that fails, nothing
// happens.
func (s *Set) Fetch(ctx context.Context, needed, ahead []Request) error {
	var mu sync.Mutex
	fetch := func(ctx context.Context, r Request) error {
		f, err := readFile(ctx, s.store, r)
		if err != nil {
			return fmt.Errorf("reading %s: %w", r.Name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		s.read[r.Name] = f
		return nil
	}
	asked := map[string]bool{}
	isNew := func(r Request) bool {
		before := len(asked)
		asked[r.Name] = true
		return len(asked) > before
	}
	needed = slices.DeleteFunc(slices.Clone(needed), func(r Request) bool { return !isNew(r) })
	ahead = slices.DeleteFunc(slices.Clone(ahead), func(r Request) bool { return s.trusting || !isNew(r) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var more sync.WaitGroup // beyond the limit, since they are few
	for _, r := range ahead {
		more.Go(func() { _ = fetch(ctx, r) })
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(Parallel)
	for _, r := range needed {
		group.Go(func() error { return fetch(groupCtx, r) })
	}
	err := group.Wait()
	if err != nil {
		cancel()
	}
	more.Wait()
	return err
}

// readFile reads, parses and verifies a file. A parse failure is the File's Err.
func readFile(ctx context.Context, store storage.Store, r Request) (*File, error) {
	object, err := store.Get(ctx, r.Name)
	for _, answer := range []error{storage.ErrNotFound, storage.ErrTooLarge, storage.ErrInvalidKey} {
		if errors.Is(err, answer) {
			return newFile(r.Name, storage.Absent, nil, answer), nil
		}
	}
	if err != nil {
		return nil, err
	}
	d, err := tufmeta.Parse(object.Data)
	f := newFile(r.Name, object.Version, d, err)
	if err != nil || r.By == nil {
		return f, nil
	}
	var reading sync.WaitGroup
	if d.Type() == tufmeta.Targets && len(object.Data) > large {
		reading.Go(func() { _, _ = f.Delegations() })
	}
	_, _ = f.Verify(r.By)
	reading.Wait()
	return f, nil
}

// Shed frees the memory of a large file that does not verify: an attacker may have put many there.
// Its verdicts stay. Asked about by another role it is read again.
func (s *Set) Shed(name string) {
	f := s.read[name]
	if f == nil || f.Document == nil || f.size() <= large {
		return
	}
	shed := newFile(name, f.Stored, nil, nil)
	for _, v := range f.verdicts {
		if v.err != nil {
			shed.verdicts = append(shed.verdicts, v)
			shed.Err = v.err
		}
	}
	if shed.Err == nil {
		return
	}
	s.read[name] = shed
}

// shed reports whether Shed has freed the file's document.
func (f *File) shed() bool { return f.Document == nil && len(f.verdicts) > 0 }

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
