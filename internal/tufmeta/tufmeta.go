// Package tufmeta handles signed TUF documents as bytes: it reads them, gives their canonical form,
// verifies them and signs their successors.
//
// A [Document] keeps the bytes it was read from. Its successor is made from the canonical form:
// version, expires, the listed files and the signatures change, and every other value stays, byte
// for byte, so fields that nobody here knows survive and stay signed (specification 4.1). The
// layout does not stay: what [Draft.Sign] writes has one form.
//
// The types hold the rule that nothing is signed over that was not verified: [Parse] returns a
// Document, only [Role.Verify] makes it a [Verified], only a Verified has a [Verified.Next], and
// only a [Draft] can be signed, which gives a Verified again. There are two other ways, for callers
// that have another reason for what they sign: [Role.Believe] and [New].
//
// A key or a delegated role that makes no sense is nobody's trouble but that of the roles that need
// it: it is a [Key] or a [Role] with a Problem, which verifies nothing.
//
// Nothing here does I/O or keeps state. All types are immutable once made and may be shared between
// goroutines.
package tufmeta

// The names of the top-level roles. The files of the three that are listed carry the suffix
// ".json".
const (
	Root      = "root"
	Targets   = "targets"
	Snapshot  = "snapshot"
	Timestamp = "timestamp"
)

// MaxVersion is the largest version number: every TUF client can read it, JavaScript's included.
const MaxVersion = 1<<53 - 1

// Suffix is what a role's name is followed by in the names of its files.
const Suffix = ".json"
