// Package tufmeta handles signed TUF documents as bytes: it reads them, gives their canonical form,
// verifies them and signs their successors.
//
// A [Document] keeps the bytes it was read from. Its successor is made by splicing: version,
// expires, the listed files and the signatures change, and every other byte stays, so fields that
// nobody here knows survive and stay signed (specification 4.1).
//
// The types hold the rule that nothing is signed that was not verified: [Parse] returns a Document,
// only [Role.Verify] makes it a [Verified], only a Verified has a [Verified.Next], and only that
// [Draft] can be signed, which gives a Verified again.
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
