package repofiles

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A File is what the store holds under one name. Parsing and verifying are done once. Its methods
// may be called from many goroutines at once.
type File struct {
	*tufmeta.Document // nil if there is an Err

	Name   string
	Stored storage.Version // storage.Absent if nothing could be read
	Err    error           // why there is no document; storage.ErrNotFound if there is no such file

	settled     atomic.Bool // it was verified and is what a document lists: under its name it stays
	delegations func() (*tufmeta.Delegations, error)
	readable    func() error
	sum         func() [sha256.Size]byte
	signedSum   func() [sha256.Size]byte

	mu       sync.Mutex
	verdicts []verdict
	root     func() (*tufmeta.RootDocument, error) // nil until Follow was called
	after    *tufmeta.RootDocument                 // that root follows
	within   *tufmeta.Delegations                  // held is the answer of
	held     error
}

// A verdict is what verifying by one role has said.
type verdict struct {
	by       *tufmeta.Role
	verified *tufmeta.Verified
	err      error
	signedBy []string // what SignedBy has returned; nil: it was not asked
}

// large is the size in bytes from which on it pays to parse a file with two processors, and from
// which on a file that does not verify is not kept.
const large = 1 << 18

func newFile(name string, stored storage.Version, d *tufmeta.Document, err error) *File {
	f := &File{Document: d, Name: name, Stored: stored, Err: err}
	f.delegations = sync.OnceValues(func() (*tufmeta.Delegations, error) {
		return tufmeta.ParseDelegations(f.Document)
	})
	f.readable = sync.OnceValue(func() error { return d.CheckReadable() })
	f.sum = sync.OnceValue(func() [sha256.Size]byte { return sha256.Sum256(f.Bytes()) })
	f.signedSum = sync.OnceValue(func() [sha256.Size]byte { return d.SignedSum() })
	return f
}

// Signed returns the file that a signed document becomes. If it follows another, its delegations
// and paths are those of before, since signing does not change them.
func Signed(v *tufmeta.Verified, before *File) *File {
	f := newFile("", storage.Absent, v.Document, nil)
	if before != nil {
		f.delegations, f.within, f.held = before.delegations, before.within, before.held
	}
	f.verdicts = []verdict{{by: v.Role(), verified: v}}
	f.settled.Store(true)
	return f
}

// At returns the file as it was written under a name.
func (f *File) At(name string, stored storage.Version) *File {
	at := newFile(name, stored, f.Document, nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	at.delegations, at.readable, at.sum, at.signedSum = f.delegations, f.readable, f.sum, f.signedSum
	at.within, at.held, at.verdicts = f.within, f.held, slices.Clone(f.verdicts)
	at.settled.Store(f.settled.Load())
	return at
}

// Exists reports whether there is such a file, whatever it holds.
func (f *File) Exists() bool { return !errors.Is(f.Err, storage.ErrNotFound) }

// Verify is [tufmeta.Role.Verify].
func (f *File) Verify(by *tufmeta.Role) (*tufmeta.Verified, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.verdict(by); v != nil {
		return v.verified, v.err
	}
	verified, err := by.Verify(f.Document)
	f.verdicts = append(f.verdicts, verdict{by: by, verified: verified, err: err})
	return verified, err
}

// SignedBy is [tufmeta.Role.SignedBy].
func (f *File) SignedBy(role *tufmeta.Role) []string {
	_, _ = f.Verify(role) // so that there is a verdict
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.verdict(role)
	if v.signedBy == nil && f.Document != nil {
		v.signedBy = append([]string{}, role.SignedBy(f.Document)...)
	}
	return v.signedBy
}

func (f *File) verdict(by *tufmeta.Role) *verdict {
	for i := range f.verdicts {
		if v := &f.verdicts[i]; v.by == by || v.by.Equal(by) {
			return v
		}
	}
	return nil
}

// Follow is [tufmeta.RootDocument.Follow] of the root before it, or [tufmeta.ParseRoot] if that is
// nil.
func (f *File) Follow(before *tufmeta.RootDocument) (*tufmeta.RootDocument, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil || f.after != before {
		f.after = before
		f.root = sync.OnceValues(func() (*tufmeta.RootDocument, error) {
			if before == nil {
				return tufmeta.ParseRoot(f.Document)
			}
			return before.Follow(f.Document)
		})
	}
	return f.root()
}

// Delegations is [tufmeta.ParseDelegations].
func (f *File) Delegations() (*tufmeta.Delegations, error) { return f.delegations() }

// Believe is [tufmeta.Role.Believe].
func (f *File) Believe(by *tufmeta.Role) (*tufmeta.Verified, error) { return by.Believe(f.Document) }

// Readable is [tufmeta.Document.CheckReadable].
func (f *File) Readable() error { return f.readable() }

// Sum returns the SHA-256 of the file.
func (f *File) Sum() [sha256.Size]byte { return f.sum() }

// SignedSum is [tufmeta.Document.SignedSum].
func (f *File) SignedSum() [sha256.Size]byte { return f.signedSum() }

// HasTargets is [tufmeta.Document.HasTargets].
func (f *File) HasTargets() bool { return f.Document.HasTargets() }

// Holds is [tufmeta.Delegations.Holds] for the file of a bin.
func (f *File) Holds(within *tufmeta.Delegations, bin string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.within != within {
		f.within, f.held = within, within.Holds(bin, f.Document)
	}
	return f.held
}

// Settled returns the role whose verified document the file is, and reports false if it is not
// known to be what a document lists.
func (f *File) Settled() (role string, ok bool) {
	if !f.settled.Load() {
		return "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.verdicts {
		if v.err == nil {
			return v.by.Name, true
		}
	}
	return "", false
}

// Settle notes that the file is verified and is what a document lists.
func (f *File) Settle() { f.settled.Store(true) }

// readFile reads, parses and verifies a file. That it cannot be parsed, or has another version than
// its name says, is the File's Err. Of a large file that does not verify only that is kept. Another
// role asks for it again; before is what is known from the last time.
func readFile(ctx context.Context, store storage.Store, r Request, before *File) (*File, error) {
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
	if err == nil && r.Version != 0 && d.Version() != r.Version {
		d, err = nil, fmt.Errorf("has version %d", d.Version())
	}
	f := newFile(r.Name, object.Version, d, err)
	if before != nil && before.Stored == f.Stored {
		f.verdicts = before.verdicts
	}
	if err != nil || r.By == nil {
		return f, nil
	}
	var reading sync.WaitGroup
	if d.Type() == tufmeta.Targets && len(object.Data) > large {
		reading.Go(func() { _, _ = f.Delegations() })
	}
	_, err = f.Verify(r.By)
	reading.Wait()
	if r.Kind == Next && f.rejected() {
		f.Document, f.Err = nil, err
		f.delegations = nil
	}
	return f, nil
}

// judged reports whether the file was verified by a role, whatever came out.
func (f *File) judged(by *tufmeta.Role) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verdict(by) != nil
}

// rejected reports whether the file is large and no role that was asked for has signed it.
func (f *File) rejected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	accepted := func(v verdict) bool { return v.err == nil }
	return len(f.verdicts) > 0 && !slices.ContainsFunc(f.verdicts, accepted) && (f.Document == nil || f.size() > large)
}

// size estimates the memory in bytes that a file takes.
func (f *File) size() int64 {
	if f.Document == nil {
		return 0
	}
	return f.Size()
}
