// Package published judges an app's files: which of them may be believed, and which documents may
// be signed over.
//
// It does no I/O, starts no goroutine and reads no clock. An [Assembly] is given the files that
// were read so far and the answers of the key provider. It names what it still needs, and is asked
// again when that is there. What it returns in the end is a [Repository], and the only place where
// documents to be signed come from.
//
// What may be signed follows from seven rules (docs/trust.md). Each is in one file:
//
//   - pinned.go, rule 0: the pin comes first, and memory after it;
//   - present.go, rule 1: present keys decide;
//   - listed.go, rule 2: of an online role only what is listed counts;
//   - believed.go, rule 3: replaced keys are believed on the operator's word;
//   - derived.go and made.go, rule 4: timestamp and snapshot are derived;
//   - online.go, rule 5: an online key signs only where all words are its own;
//   - trouble.go, rule 6: a role's trouble is its own.
//
// Beside them are uploads.go (what becomes of unlisted versions), numbers.go (which version comes
// next) and layouts.go (a change of consistent snapshots). assemble.go says in which order all is
// judged, walk.go goes down the delegations, declared.go says who declares which role, files.go
// finds the files of one targets role, choose.go says what a roll signs, and foresee.go names files
// to read ahead.
//
// The operator's decisions are a [Word]. The time between rolls is tufupdate's.
package published

import (
	"errors"
	"fmt"
	"iter"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// Why a request is refused.
var (
	// ErrUnknownRole says that the repository has no such role.
	ErrUnknownRole = errors.New("unknown role")
	// ErrNotBootstrapped says that an app has no root or no timestamp yet.
	ErrNotBootstrapped = errors.New("app is not bootstrapped")
	// ErrRootExpired says that the newest root has expired.
	ErrRootExpired = errors.New("root has expired")
)

// A FileError says which file of a repository cannot be trusted, and why.
type FileError struct {
	Role    string
	Version int64  // 0 if it could not be read
	File    string // its key in the store
	Err     error
}

func (e *FileError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("role %s (%s) does not verify: %v", e.Role, e.File, e.Err)
	}
	return fmt.Sprintf("role %s version %d (%s) does not verify: %v", e.Role, e.Version, e.File, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// A Document is a file that counts. Only this package makes one.
type Document struct {
	verified *tufmeta.Verified
	file     *repofiles.File
}

// Verified returns the document, nil for none.
func (d *Document) Verified() *tufmeta.Verified {
	if d == nil {
		return nil
	}
	return d.verified
}

// File returns the file that the document was read from, nil for none.
func (d *Document) File() *repofiles.File {
	if d == nil {
		return nil
	}
	return d.file
}

// Believed reports whether the document counts on the operator's word (rule 3). Its role's present
// keys have not signed it, so clients reject it.
func (d *Document) Believed() bool { return d != nil && d.verified.Believed() }

// Version returns the document's version.
func (d *Document) Version() int64 { return d.verified.Version() }

// A Base is what a role's next document follows, and who signs it. Only this package makes one.
type Base struct {
	role     *tufmeta.Role
	bins     string
	document *Document
	above    int64
	signers  []tufmeta.Signer
	pin      bool
}

// Role returns the role whose keys sign.
func (b Base) Role() *tufmeta.Role { return b.role }

// Bins returns the prefix of the delegation's bins if the role is one of them, else "".
func (b Base) Bins() string { return b.bins }

// Document returns the document that is signed over. It is nil for a timestamp or a snapshot that
// is made anew.
func (b Base) Document() *Document { return b.document }

// Above returns what the next version is greater than, 0 if nothing is known (see numbers.go).
func (b Base) Above() int64 { return b.above }

// Signers returns the signers for the role's keys.
func (b Base) Signers() []tufmeta.Signer { return b.signers }

// Pin reports whether length and SHA-256 of the next document are to be listed.
func (b Base) Pin() bool { return b.pin }

// A Repository is an app's repository as far as it was judged.
type Repository struct {
	Layout repofiles.Layout        // by the newest root
	Both   bool                    // files are written under the names of both layouts
	Roots  []*tufmeta.RootDocument // from the trusted one to the newest; nil until they were followed

	First *tufmeta.RootDocument // the first root seen, if that is the trusted one

	Timestamp *Document // nil if it was not judged, or does not count
	Snapshot  *Document // likewise
	Derived   error     // why the timestamp or the snapshot does not count, and another takes its place

	Roles    []string             // to be signed, the defaults in place of none
	Sign     []Base               // targets roles that are to be signed, those nearest to targets first
	Accepted map[string]*Document // unlisted versions that the next snapshot is to list, by role
	Made     map[string]*Document // what a snapshot that is made from targets down lists, by role
	Copies   []Copy               // files that are to be copied to the names of another layout
	Warnings []string

	uploads  []Upload
	plain    map[string]*repofiles.File // files under names without a version, by role, that are replaced
	targets  []*node
	judge    *Assembly
	holdings map[string]custody.Holding // of top-level roles that are to be signed
}

// Root returns the newest root.
func (r *Repository) Root() *tufmeta.RootDocument { return r.Roots[len(r.Roots)-1] }

// TopLevel returns what the next timestamp or snapshot follows.
func (r *Repository) TopLevel(role string) Base {
	d := r.Timestamp
	if role == tufmeta.Snapshot {
		d = r.Snapshot
	}
	by := r.Root().Roles[role]
	return Base{
		role: by, document: d, above: r.judge.above(by, d, 0), signers: r.holdings[role].Signers, pin: true,
	}
}

// SignsSnapshot reports whether the next release has a new snapshot.
func (r *Repository) SignsSnapshot() bool { return r.judge.signsSnapshot() }

// Layouts returns the layouts under whose names the next release is written.
func (r *Repository) Layouts() []repofiles.Layout {
	if !r.Both {
		return []repofiles.Layout{r.Layout}
	}
	other := r.Layout
	other.Consistent = !other.Consistent
	return []repofiles.Layout{r.Layout, other}
}

// Pins reports whether the documents of a role are listed with length and SHA-256.
func (r *Repository) Pins(role string) bool {
	n := r.judge.nodes[role]
	return n == nil || r.judge.pins(n)
}

// Newly returns the documents of others that the next snapshot lists for the first time.
func (r *Repository) Newly() iter.Seq2[string, *Document] {
	return func(yield func(string, *Document) bool) {
		for _, documents := range []map[string]*Document{r.Accepted, r.Made} {
			for role, d := range documents {
				if !yield(role, d) {
					return
				}
			}
		}
	}
}

// Plain returns the file that a role has under its name without a version. It may not exist.
func (r *Repository) Plain(role string) *repofiles.File { return r.plain[role] }

// FileError says that a file of the repository cannot be trusted.
func (r *Repository) FileError(d *Document, err error) *FileError {
	return &FileError{Role: d.verified.Role().Name, Version: d.Version(), File: d.file.Name, Err: err}
}

func (r *Repository) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Untrusted tells an error that lies in what the store holds from any other.
func Untrusted(err error) (problem, failure error) {
	if _, ok := errors.AsType[*FileError](err); ok {
		return err, nil
	}
	return nil, err
}

// Default stands for the roles of a request that names none, until the repository has been judged.
// It is no name of a role.
const Default = ""

// IsDelegated reports whether a role is a delegated one.
func IsDelegated(role string) bool { return role != Default && !isTopLevel(role) }

func isTopLevel(role string) bool {
	switch role {
	case tufmeta.Root, tufmeta.Timestamp, tufmeta.Snapshot, tufmeta.Targets:
		return true
	}
	return false
}

// IsTimestampOnly reports whether the timestamp is the only one of roles.
func IsTimestampOnly(roles []string) bool { return len(roles) == 1 && roles[0] == tufmeta.Timestamp }

// errNotFound is why a file that is listed cannot be trusted if there is none.
var errNotFound = storage.ErrNotFound
