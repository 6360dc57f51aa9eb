package published

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Root's holders may switch consistent snapshots on or off. Files are then read in the layout in
// which the published snapshot is, and the next release copies what is listed, unchanged, to the
// names of root's layout, the snapshot last. So a snapshot that is there under its name says that
// all files are. With the operator's BothLayouts every release writes the names of both.

// A Copy is a file that is to be written under another name too.
type Copy struct {
	Role string
	Name string // its key in the store
	File *repofiles.File
	Over *repofiles.File // what has that name now; nil for names with a version, which are created
}

// judgeLayouts finds out which files have to be copied, and which are replaced.
func (a *Assembly) judgeLayouts() error {
	var pending error
	a.repo.Copies = nil
	for _, consistent := range []bool{true, false} {
		if consistent != a.root().Consistent && !a.in.Word.BothLayouts {
			continue
		}
		layout := repofiles.Layout{App: a.in.App, Consistent: consistent}
		if err := a.judgeLayout(layout); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return err
			}
		}
	}
	return pending
}

func (a *Assembly) judgeLayout(layout repofiles.Layout) (pending error) {
	signed := map[string]bool{tufmeta.Timestamp: true, tufmeta.Snapshot: a.signsSnapshot()}
	for _, base := range a.repo.Sign {
		signed[base.role.Name] = true
	}
	if !layout.Consistent {
		for role, yes := range signed {
			f, err := a.named(layout, role, 0)
			if err != nil {
				pending = err
				continue
			}
			if a.repo.plain[role] = f; yes && f.Stored == "" && f.Exists() {
				return a.fileError(role, 0, f.Err)
			}
		}
	}
	roles, err := a.toCopy(layout)
	if err != nil {
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		if signed[role] {
			continue
		}
		if err := a.copy(layout, role, roles[role]); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return err
			}
		}
	}
	return pending
}

// toCopy returns the versions that have to have names of a layout, by role.
func (a *Assembly) toCopy(layout repofiles.Layout) (map[string]int64, error) {
	roles := map[string]int64{}
	if layout.Consistent == a.layout.Consistent && a.repo.Made == nil {
		return roles, nil // they are read there
	}
	if a.signsSnapshot() { // or else they are not listed yet
		for role, d := range a.repo.Accepted {
			roles[role] = d.Version()
		}
	}
	if a.repo.Snapshot == nil {
		for role, d := range a.repo.Made {
			roles[role] = d.Version()
		}
		return roles, nil
	}
	snapshot := a.repo.Snapshot
	f, err := a.named(layout, tufmeta.Snapshot, snapshot.Version())
	if err != nil {
		return nil, err
	}
	if f.Document != nil && bytes.Equal(f.Bytes(), snapshot.file.Bytes()) {
		return roles, nil
	}
	for role, version := range snapshot.verified.ListedRoles() {
		roles[role] = max(version, roles[role])
	}
	roles[tufmeta.Snapshot] = snapshot.Version()
	return roles, nil
}

// copy has a role's file copied to its name in a layout. A file that is not what is listed is not:
// clients cannot use it in either layout.
func (a *Assembly) copy(layout repofiles.Layout, role string, version int64) error {
	source, err := a.source(role, version)
	if err != nil {
		problem, failure := Untrusted(err)
		if failure == nil {
			a.repo.warn("not copied to another layout: %v", problem)
		}
		return failure
	}
	there, err := a.named(layout, role, version)
	if err != nil {
		return err
	}
	c := Copy{Role: role, Name: there.Name, File: source}
	switch {
	case there.Document != nil && bytes.Equal(there.Bytes(), source.Bytes()):
		return nil
	case !layout.Consistent:
		c.Over = there
	case there.Exists():
		return a.inTheWay(role, source, there)
	}
	a.repo.Copies = append(a.repo.Copies, c)
	return nil
}

// source returns the file that is to be copied.
func (a *Assembly) source(role string, version int64) (*repofiles.File, error) {
	switch {
	case role == tufmeta.Snapshot:
		return a.repo.Snapshot.file, nil
	case a.nodes[role] != nil && a.nodes[role].doc != nil && a.nodes[role].doc.Version() == version:
		return a.nodes[role].doc.file, nil
	}
	f, err := a.listed(role, version, nil)
	if err == nil && !f.Exists() {
		err = a.fileError(role, version, errNotFound)
	}
	if err != nil {
		return nil, err
	}
	info, _ := a.repo.Snapshot.verified.Listed(role)
	if err := info.Check(f.Document); err != nil {
		return nil, a.reject(role, f, err)
	}
	return f, nil
}

// inTheWay decides about another file under a versioned name that a listed one is to have. It stays
// if clients cannot tell: nothing lists its hash, and it says the same by present keys. Otherwise
// an online role takes its next number.
func (a *Assembly) inTheWay(role string, source, there *repofiles.File) error {
	n := a.nodes[role]
	if n != nil && there.Document != nil && !a.listsHash(role) && saysTheSame(there, source) {
		if _, err := present(n.role, there); err == nil {
			return nil
		}
	}
	way := a.fileError(role, 0, errors.New("another file has the name that the listed one needs in the layout "+
		"that root asks for: remove it"))
	way.File = there.Name
	if n == nil || n.doc == nil {
		return way
	}
	h, err := a.signersOf(n)
	if err != nil {
		return err
	}
	if h.State != custody.Online {
		return way
	}
	a.repo.Sign = append(a.repo.Sign, a.base(n, h))
	return nil
}

// listsHash reports whether the snapshot lists a hash of a role's file.
func (a *Assembly) listsHash(role string) bool {
	if a.repo.Snapshot == nil {
		return false
	}
	info, _ := a.repo.Snapshot.verified.Listed(role)
	return len(info.Hashes) > 0
}

// named returns a role's file in a layout, whatever it holds.
func (a *Assembly) named(layout repofiles.Layout, role string, version int64) (*repofiles.File, error) {
	r := repofiles.Request{Name: layout.Name(role, version), Kind: repofiles.Current}
	f, known := a.files.File(r)
	if !known {
		a.need.Files = append(a.need.Files, r)
		return nil, errPending
	}
	return f, nil
}

// switching reports whether the layout in which files are read is not the one that root asks for,
// or not all.
func (a *Assembly) switching() bool {
	return a.layout.Consistent != a.root().Consistent || a.in.Word.BothLayouts
}

// signsSnapshot reports whether the next release has a new snapshot.
func (a *Assembly) signsSnapshot() bool {
	// Without consistent snapshots an upload has taken the place of what is listed, and cannot be
	// copied as that.
	moves := a.layout.Consistent != a.repo.Layout.Consistent && len(a.repo.Accepted) > 0
	return !IsTimestampOnly(a.repo.Roles) || a.repo.Made != nil || len(a.repo.Sign) > 0 || moves
}

// saysTheSame reports whether two files differ in nothing that is signed.
func saysTheSame(f, other *repofiles.File) bool {
	return f.Version() == other.Version() && f.Expires().Equal(other.Expires()) && f.Repeats(other.Document)
}
