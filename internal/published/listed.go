package published

import (
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
)

// Rule 2: of an online role only what is listed counts. A targets document does not name its role,
// so an unlisted one may be another role's words, or what a failed publication left. It is skipped,
// unless the operator says that holders upload there. Without consistent snapshots the one file
// that there is counts if present keys signed it. In both cases no other targets role may have one
// of the role's keys. A bin's document counts only if all its paths fall into that bin (see holds).
//
// Releases list length and SHA-256 of what is signed (Base.Pin), so that it cannot be exchanged.

// errOnlyListed says that an unlisted document is nobody's word.
var errOnlyListed = errors.New("the role is online, and nothing else signs for it: if its holders upload, " +
	"name it among the roles with uploads")

// wanted returns a refusal if an unlisted file that present keys have signed does not count.
func (a *Assembly) wanted(n *node, f *repofiles.File) error {
	h, err := a.custodyOf(n)
	switch {
	case err != nil:
		return err
	case h.State == custody.Unknown:
		return refusal{fmt.Errorf("it is not known whether its keys are available; %w", h.Err)}
	case h.State == custody.Online && !a.onlyFile(n, f) && !a.in.Word.uploads(n):
		return refusal{errOnlyListed}
	}
	return nil
}

// onlyFile reports whether a file is the one that a role has without consistent snapshots.
func (a *Assembly) onlyFile(n *node, f *repofiles.File) bool {
	plain := repofiles.Layout{App: a.in.App}
	return f.Name == plain.Name(n.role.Name, 0) && !a.layout.Consistent && !a.foreign
}

// errShared says that an unlisted document may be another role's.
var errShared = errors.New("so it may be that one's document")

// shared returns a refusal of an unlisted document of an online role if another targets role has
// one of the role's keys, or may have one, nil if none has. The operator may believe the document.
func (a *Assembly) shared(n *node) (refused, pending error) {
	if !n.fresh() || a.in.Word.believes(n, fmt.Sprintf("%x", n.doc.file.Sum()), a.in.Now) {
		return nil, nil
	}
	h, err := a.custodyOf(n)
	if err != nil || h.State != custody.Online {
		return nil, err
	}
	others, unknown := a.keysOfOthers(n)
	if unknown != nil {
		return refusal{unknown}, nil
	}
	for _, k := range n.role.Keys {
		if other := others[k.Digest()]; other != "" {
			return refusal{fmt.Errorf("role %s has one of its keys, %w", other, errShared)}, nil
		}
	}
	return nil, nil
}

// holds returns an error if a document of a bin lists a path that is not the bin's.
func (n *node) holds(d *Document) error {
	if !n.bin {
		return nil
	}
	return d.file.Holds(n.within, n.role.Name)
}

// pins reports whether the next document of a role is listed with length and SHA-256.
func (a *Assembly) pins(n *node) bool { return !n.bin || a.in.Word.HashBins }
