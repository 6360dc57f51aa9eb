// Package published judges an app's files: which of them may be believed, and which documents may
// be signed over.
//
// It does no I/O, starts no goroutine and reads no clock. An [Assembly] is given the files that
// were read so far and the answers of the key provider. It names what it still needs, and is asked
// again when that is there. What it returns in the end is a [Repository], and the only place where
// documents to be signed come from.
//
// A rule is in the file named after what it is about:
//
//   - assemble.go: timestamp and snapshot, which roles a request means, and what is needed;
//   - roots.go: which roots follow each other;
//   - targets.go: the versions of one targets role, listed ones and uploads (unlisted versions);
//   - delegated.go: which delegated roles matter, how deep, and which version of a role counts;
//   - entitled.go: which role may be signed, and which upload is accepted;
//   - choose.go: which targets roles a roll signs;
//   - foresee.go: which files to read ahead.
//
// The operator's decisions about keys are custody's, the time between rolls is tufupdate's.
package published

import (
	"errors"
	"fmt"

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

// A Document is a verified file. Only this package makes one.
type Document struct {
	verified *tufmeta.Verified
	file     *repofiles.File
	replaced bool
}

// Verified returns the document.
func (d *Document) Verified() *tufmeta.Verified { return d.verified }

// File returns the file that the document was read from.
func (d *Document) File() *repofiles.File { return d.file }

// Replaced reports whether the document verifies only by keys that its role no longer has. It is
// trusted for what it says, but clients reject it.
func (d *Document) Replaced() bool { return d.replaced }

// Version returns the document's version.
func (d *Document) Version() int64 { return d.verified.Version() }

// A Base is a document that may be signed over, and who signs its successor. Only this package
// makes one.
type Base struct {
	role     *tufmeta.Role
	bins     string
	document *Document
	taken    int64
	signers  []tufmeta.Signer
}

// Role returns the role whose keys sign the successor.
func (b Base) Role() *tufmeta.Role { return b.role }

// Bins returns the prefix of the delegation's bins if the role is one of them, else "".
func (b Base) Bins() string { return b.bins }

// Document returns the document that the successor follows.
func (b Base) Document() *Document { return b.document }

// Taken returns the highest version of which a file was found, whatever it holds. The successor's
// is higher.
func (b Base) Taken() int64 { return b.taken }

// Signers returns the signers for the role's keys.
func (b Base) Signers() []tufmeta.Signer { return b.signers }

// A Repository is an app's repository as far as it was judged.
type Repository struct {
	Layout repofiles.Layout
	First  *tufmeta.RootDocument   // the first root seen, if that is the trusted one
	Roots  []*tufmeta.RootDocument // from the trusted one to the newest; nil until they were followed

	Timestamp *Document // nil if it was not judged, or is not trusted
	Snapshot  *Document // likewise

	Roles    []string                     // to be signed, the defaults in place of none
	Sign     []Base                       // targets roles that are to be signed, those nearest to targets first
	Accepted map[string]*tufmeta.Document // unlisted versions that the next snapshot is to list, by role
	Warnings []string

	targets  []*node
	judge    *Assembly
	holdings map[string]custody.Holding // of top-level roles that are to be signed
}

// Root returns the newest root.
func (r *Repository) Root() *tufmeta.RootDocument { return r.Roots[len(r.Roots)-1] }

// TopLevel returns the timestamp or the snapshot, with who signs its successor.
func (r *Repository) TopLevel(role string) Base {
	d := r.Timestamp
	if role == tufmeta.Snapshot {
		d = r.Snapshot
	}
	return Base{role: r.Root().Roles[role], document: d, taken: d.Version(), signers: r.holdings[role].Signers}
}

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

// checkMark returns an error if a document is from before a mark. By current, clients verify now.
func checkMark(mark repofiles.Mark, v *tufmeta.Verified, current *tufmeta.Role) error {
	switch {
	case mark.Version == 0:
		return nil
	case mark.Role == v.Role().Fingerprint():
		if v.Version() < mark.Version {
			return fmt.Errorf("version %d has been seen before", mark.Version)
		}
		if v.Version() == mark.Version && repofiles.MarkOf(v) != mark {
			return fmt.Errorf("version %d has been seen before with other content", mark.Version)
		}
	case mark.Role == current.Fingerprint():
		return fmt.Errorf("version %d, signed by the role's present keys, has been seen before", mark.Version)
	}
	return nil
}

// errNotFound is why a file that is listed cannot be trusted if there is none.
var errNotFound = storage.ErrNotFound
