package published

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Rule 4: timestamp and snapshot are derived. One that satisfies rule 1 is followed. Otherwise it
// is the newest snapshot that satisfies rule 1 and whose files are all there and verify. If there
// is none, a snapshot is made from targets down (made.go). Nothing of a timestamp or a snapshot
// that does not satisfy rule 1 is signed over: what takes its place is a new document.

// judgeTimestamp judges the timestamp. It is ErrNotBootstrapped if there is none.
func (a *Assembly) judgeTimestamp() error {
	role := a.root().Roles[tufmeta.Timestamp]
	f, err := a.file(tufmeta.Timestamp, 0, repofiles.Current, role)
	if err != nil {
		return err
	}
	if !f.Exists() {
		return fmt.Errorf("it has no timestamp: %w", ErrNotBootstrapped)
	}
	a.timestamp, a.repo.plain[tufmeta.Timestamp] = f, f
	if f.Err != nil {
		a.repo.Derived = a.fileError(tufmeta.Timestamp, 0, f.Err)
		return nil
	}
	d, err := present(role, f)
	if err != nil {
		a.repo.Derived = a.reject(tufmeta.Timestamp, f, err)
		return nil
	}
	if err := a.remembered(role, f); err != nil {
		return a.reject(tufmeta.Timestamp, f, err)
	}
	a.repo.Timestamp = d
	return nil
}

// judgeSnapshot finds the snapshot that is followed, or makes one.
func (a *Assembly) judgeSnapshot() error {
	role := a.root().Roles[tufmeta.Snapshot]
	leads, err := a.leadsTo()
	if err != nil || a.repo.Timestamp == nil {
		if err == nil {
			err = a.derive(0, leads)
		}
		return err
	}
	d, err := present(role, leads)
	if err != nil {
		a.repo.Derived = a.reject(tufmeta.Snapshot, leads, err)
		return a.derive(leads.Version(), leads)
	}
	if err := a.remembered(role, leads); err != nil {
		return a.reject(tufmeta.Snapshot, leads, err)
	}
	leads.Settle()
	a.repo.Snapshot = d
	return nil
}

// leadsTo returns the snapshot that the timestamp lists, in whatever layout it is, and has files
// read in that layout. If the timestamp does not count, it may be nil.
//
// Without consistent snapshots it may be a later one than is listed: a writer may have been stopped
// between the two.
func (a *Assembly) leadsTo() (*repofiles.File, error) {
	a.useLayout(a.root().Consistent)
	info, ok := tufmeta.FileInfo{}, false
	if d := a.timestamp.Document; d != nil && d.Type() == tufmeta.Timestamp {
		info, ok = d.Listed(tufmeta.Snapshot)
	}
	if !ok {
		return nil, nil
	}
	f, err := a.listedSnapshot(info)
	if problem, failure := Untrusted(err); problem == nil || failure != nil {
		return f, err
	}
	a.useLayout(!a.root().Consistent)
	if other, otherErr := a.listedSnapshot(info); otherErr == nil || errors.Is(otherErr, errPending) {
		return other, otherErr
	}
	a.useLayout(a.root().Consistent)
	if a.repo.Timestamp == nil {
		err = nil
	}
	return nil, err
}

// listedSnapshot returns the snapshot that is listed. An error is a *FileError if there is another,
// or none.
func (a *Assembly) listedSnapshot(info tufmeta.FileInfo) (*repofiles.File, error) {
	f, err := a.listed(tufmeta.Snapshot, info.Version, a.root().Roles[tufmeta.Snapshot])
	if err == nil && !f.Exists() {
		err = a.fileError(tufmeta.Snapshot, info.Version, errNotFound)
	}
	if err == nil {
		if err = a.checkListed(info, f); err != nil {
			err = a.reject(tufmeta.Snapshot, f, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// maxCandidates bounds the snapshots that are looked at.
const maxCandidates = 1 << 10

// derive follows the newest snapshot above a version that satisfies rule 1 and is whole, or makes
// one. leads is what the timestamp leads to, nil if that is unknown.
func (a *Assembly) derive(above int64, leads *repofiles.File) error {
	if a.candidates == nil {
		candidates, err := a.snapshots(above)
		if err != nil {
			return err
		}
		a.candidates = append(candidates, nil) // at least one, which tells that they are known
	}
	reading := a.layout.Consistent
	for ; a.candidates[0] != nil; a.candidates = a.candidates[1:] {
		follows, err := a.stands(a.candidates[0], leads)
		if err != nil || follows {
			return err
		}
		a.finds, a.unfit, a.owners, a.notes = map[string]*find{}, map[*repofiles.File]error{}, nil, nil
	}
	a.useLayout(reading)
	return a.makeSnapshot(leads)
}

// snapshots returns the snapshots above a version that present keys have signed, the newest first.
// Below what is remembered there is none.
func (a *Assembly) snapshots(above int64) (all []*repofiles.File, pending error) {
	versions, pending := a.versions(tufmeta.Snapshot)
	role := a.root().Roles[tufmeta.Snapshot]
	above = max(above, a.in.Marks.Of(role).Version-1)
	versions = slices.DeleteFunc(slices.Clone(versions), func(v int64) bool { return v <= above })
	if last := len(versions) - 1; last >= maxCandidates { // the lowest may be the one that is remembered
		versions = append(versions[:maxCandidates], versions[last])
	}
	add := func(consistent bool, version int64) {
		f, err := a.named(repofiles.Layout{App: a.in.App, Consistent: consistent}, tufmeta.Snapshot, version)
		switch {
		case err != nil:
			pending = err
		case f.Document == nil || f.Version() <= above || consistent && f.Version() != version:
		default:
			if _, err := f.Verify(role); err == nil && a.remembered(role, f) == nil {
				all = append(all, f)
			}
		}
	}
	add(false, 0)
	for _, version := range versions {
		add(true, version)
	}
	slices.SortStableFunc(all, func(a, b *repofiles.File) int { return cmp.Compare(b.Version(), a.Version()) })
	return all, pending
}

// stands reports whether a snapshot that present keys have signed is whole, and follows it then.
func (a *Assembly) stands(f, leads *repofiles.File) (bool, error) {
	a.useLayout(f.Name != repofiles.Layout{App: a.in.App}.Name(tufmeta.Snapshot, 0))
	if a.repo.Timestamp != nil && listsLess(f, leads) {
		return false, nil
	}
	d, err := present(a.root().Roles[tufmeta.Snapshot], f)
	if err != nil {
		return false, err
	}
	for role, version := range d.verified.ListedRoles() {
		a.floors[role] = max(a.floors[role], version)
	}
	a.repo.Snapshot, a.whole = d, true
	defer func() { a.whole = false }()
	err = a.decide()
	if err == nil {
		for _, n := range a.order {
			if a.isListed(n.role.Name) && n.doc == nil && !n.isDisabled() {
				err = n.err
				break
			}
		}
		if err == nil {
			f.Settle()
			return true, nil
		}
		if leads == f { // what is older would take clients back
			return false, fmt.Errorf("the snapshot that is published is not whole: %w", err)
		}
		err = nil
	}
	a.repo.Snapshot = nil
	return false, err
}

// listsLess reports whether a snapshot lists an older version of a role than another one, or none.
func listsLess(f, other *repofiles.File) bool {
	for role, version := range other.ListedRoles() {
		if info, _ := f.Listed(role); info.Version < version {
			return true
		}
	}
	return false
}

// useLayout has files read in a layout. That it is the one before a change is certain only if a
// root had it that was followed: otherwise only what is listed counts there of an online role (rule
// 2).
func (a *Assembly) useLayout(consistent bool) {
	a.layout.Consistent, a.foreign = consistent, true
	for _, root := range a.roots {
		if root.Consistent == consistent {
			a.foreign = false
		}
	}
}
