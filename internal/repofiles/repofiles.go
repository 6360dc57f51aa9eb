// Package repofiles reads an app's metadata files: their names, the reading itself, and what an
// Updater remembers of them from one roll to the next.
//
// It decides nothing. A [File] parses and verifies what package published asks it for, and keeps
// the result, so that the same question costs nothing the next time. A [Set] is the files as one
// attempt sees them. A [Memory] is the files that outlive the attempt, verified by this process. A
// [Record] is what outlives the process: [Marks] of the documents that were published. [Retry] is
// the store that is read through.
package repofiles

import (
	"fmt"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A Layout names the metadata files of an app (specification 6.2.1).
type Layout struct {
	App        string
	Consistent bool // all names but the timestamp's carry a version
}

// Name returns the key in the store of a role's file. The version counts only if the names of the
// role's files carry it.
func (l Layout) Name(role string, version int64) string {
	if !l.Versioned(role) {
		return l.App + "/" + role + tufmeta.Suffix
	}
	return fmt.Sprintf("%s/%d.%s%s", l.App, version, role, tufmeta.Suffix)
}

// Versioned reports whether the names of a role's files carry their version.
func (l Layout) Versioned(role string) bool {
	return role == tufmeta.Root || l.Consistent && role != tufmeta.Timestamp
}

// A Request asks for one file.
type Request struct {
	Name    string
	Kind    Kind
	Version int64 // that the document has to have; 0: any

	// By is the role whose keys the file will be verified with, nil if that is not known yet. Fetch
	// verifies ahead, several files at a time.
	By *tufmeta.Role
}

// A Kind says what is known about a file before it is read.
type Kind int

// The kinds of files.
const (
	Listed  Kind = iota // a document lists it, and its name carries the version: it never changes
	Current             // it is replaced from time to time
	Next                // it is the next version of a role: as a rule it does not exist yet
)
