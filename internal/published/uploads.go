package published

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
)

// An Upload is an unlisted version of a targets role, and what becomes of it. What a release has
// left that was not published is none.
type Upload struct {
	Role    string
	Bins    string // the prefix of the delegation's bins if the role is one of them, else ""
	Version int64
	File    string // its key in the store
	Signed  bool   // a threshold of the role's present keys has signed it
	Reason  error  // why it is not accepted; nil if the next snapshot lists it
}

// String says what becomes of the upload.
func (u Upload) String() string {
	if u.Reason == nil {
		return fmt.Sprintf("the next snapshot lists unlisted version %d of role %s", u.Version, u.Role)
	}
	return fmt.Sprintf("ignoring unlisted version %d of role %s: %v", u.Version, u.Role, u.Reason)
}

// Uploads returns the uploads that were found, those of roles nearest to targets first, of a role
// the newest first. Those before one that is accepted are left out, since no snapshot will list
// them. A survey to uploads finds those of offline roles, and of roles whose holders upload by the
// operator's word.
func (r *Repository) Uploads() []Upload { return r.uploads }

// Ignored returns what is to be said of uploads that are not accepted.
func (r *Repository) Ignored() (warnings []string) {
	for _, u := range r.uploads {
		if u.Reason != nil {
			warnings = append(warnings, u.String())
		}
	}
	return warnings
}

// seeks reports whether unlisted versions of a role are looked for. A roll has to know all numbers
// that are taken. A survey does not look where no upload can count: each costs a request.
func (a *Assembly) seeks(n *node) (bool, error) {
	switch {
	case !a.in.Survey:
		return true, nil
	case a.in.Depth < ToUploads, n.bin && !a.in.Thorough:
		return false, nil
	case a.in.Word.uploads(n):
		return true, nil
	}
	h, err := a.custodyOf(n)
	return err == nil && h.State == custody.Offline, err
}

// note notes what becomes of an unlisted version of n.
func (n *node) note(f *repofiles.File, signed bool, reason error) {
	n.uploads = append(n.uploads, Upload{Version: f.Version(), File: f.Name, Signed: signed, Reason: reason})
}

// Awaited returns the names of the files that tell whether there are new uploads: those that were
// found, and the next one of each role. Bins are left out.
func (r *Repository) Awaited() (names []string) {
	a := r.judge
	versioned := repofiles.Layout{App: a.in.App, Consistent: true}
	for _, n := range r.targets {
		if n.bin || n.find == nil {
			continue
		}
		if seeks, err := a.seeks(n); err != nil || !seeks {
			continue
		}
		if !r.Layout.Consistent {
			names = append(names, r.Layout.Name(n.role.Name, 0))
			continue
		}
		for version := n.find.info.Version + 1; version <= n.find.next; version++ {
			names = append(names, versioned.Name(n.role.Name, version))
		}
	}
	return names
}

// isLeft reports whether an unlisted version that present keys have signed is nobody's upload: the
// role is online, and says no more by it than is listed.
func (a *Assembly) isLeft(n *node, f *repofiles.File) (bool, error) {
	if n.listed == nil || !f.Repeats(n.listed.file.Document) {
		return false, nil
	}
	h, err := a.custodyOf(n)
	return h.State == custody.Online, err
}

// uploads returns the uploads of all roles that were met.
func (a *Assembly) uploads() (all []Upload) {
	for _, n := range a.order {
		slices.SortStableFunc(n.uploads, func(a, b Upload) int { return cmp.Compare(b.Version, a.Version) })
		for _, u := range n.uploads {
			u.Role, u.Bins = n.role.Name, n.bins()
			all = append(all, u)
		}
	}
	return all
}
