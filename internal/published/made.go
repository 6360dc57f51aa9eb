package published

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A snapshot that is made from targets down (rule 4) lists, of an offline role, the newest verified
// document that the store holds, of an online one the version that the old snapshot lists. Nothing
// in it may be older than what the old one lists, another that present keys have signed, or memory
// knows, unless the operator gives the version. What is listed besides leaves if nobody declares
// it.
//
// The old snapshot is the one that the timestamp leads to. It is known if the timestamp satisfies
// rule 1 and lists a hash of it, if memory has that snapshot as the newest, or, where memory has
// none, if both are by keys that a root names that was followed. Otherwise anybody may have put it
// there.

// oldSnapshot returns the snapshot that the timestamp leads to if it is known, else nil.
func (a *Assembly) oldSnapshot(leads *repofiles.File) *repofiles.File {
	if leads == nil || leads.Document == nil {
		return nil
	}
	newest := a.in.Marks.Newest(tufmeta.Snapshot)
	known := newest.Version > 0 && newest.Sum == leads.SignedSum() ||
		newest.Version == 0 && a.bySomeRoot(tufmeta.Timestamp, a.timestamp) && a.bySomeRoot(tufmeta.Snapshot, leads)
	if d := a.repo.Timestamp; d != nil {
		info, _ := d.verified.Listed(tufmeta.Snapshot)
		known = known || len(info.Hashes) > 0
	}
	if !known {
		return nil
	}
	return leads
}

// bySomeRoot reports whether a file is signed by the keys that a root names that was followed.
func (a *Assembly) bySomeRoot(role string, f *repofiles.File) bool {
	return f.Document != nil && slices.ContainsFunc(a.roots, func(root *tufmeta.RootDocument) bool {
		_, err := f.Verify(root.Roles[role])
		return err == nil
	})
}

// makeSnapshot decides what the snapshot lists. An error names what is missing.
func (a *Assembly) makeSnapshot(leads *repofiles.File) error {
	mark, newest := a.in.Marks.Of(a.root().Roles[tufmeta.Snapshot]), a.in.Marks.Newest(tufmeta.Snapshot)
	if mark.Version > 0 && mark.Version == newest.Version { // rule 0
		return withReason(a.repo.Derived, fmt.Errorf("snapshot version %d is remembered, and not there: put it back; %s",
			mark.Version, forgetting))
	}
	a.made, a.old = true, a.oldSnapshot(leads)
	if err := a.decide(); err != nil {
		return err
	}
	made := map[string]*Document{}
	var missing []string
	for _, n := range a.order {
		name, floor := n.role.Name, a.floor(n.role)
		given, isGiven := a.in.Word.Versions[name]
		switch {
		case isGiven && given == 0, n.isDisabled():
			a.repo.warn("role %s is not listed any more", name)
		case n.doc == nil && floor == 0 && n.by != nil && a.isNew(name):
		case n.doc == nil:
			missing = append(missing, fmt.Sprintf("role %s version %d (%v)", name, floor, n.err))
		case a.old == nil && floor == 0 && (given == 0 || n.doc.Version() < given):
			missing = append(missing, fmt.Sprintf("role %s (what was listed is not known)", name))
		default:
			made[name] = n.doc
		}
	}
	if len(missing) > 0 {
		return withReason(a.repo.Derived, a.lacks(missing))
	}
	a.repo.Made = made
	return nil
}

// lacks says without which documents no snapshot can be made.
func (a *Assembly) lacks(missing []string) error {
	slices.Sort(missing)
	more := ""
	if n := len(missing) - shownKeys; n > 0 {
		missing, more = missing[:shownKeys], fmt.Sprintf(" and %d more", n)
	}
	if names, _ := a.files.Names(); names.Err != nil {
		more += fmt.Sprintf(" (%v)", names.Err)
	}
	return fmt.Errorf("present keys have signed no other snapshot that is whole, and none can be made without %s%s: "+
		"put these files back, or give the versions that are to be listed, 0 for none", strings.Join(missing, ", "), more)
}

// isNew reports whether the store has no file of a role, as far as it can be listed.
func (a *Assembly) isNew(role string) bool {
	names, _ := a.files.Names()
	return names.Err == nil && a.index != nil && len(a.index[role]) == 0 && !a.plain[role]
}

// floor returns what the old snapshot lists of a role, or another that present keys have signed, or
// memory knows.
func (a *Assembly) floor(role *tufmeta.Role) int64 {
	return max(a.oldVersion(role.Name), a.floors[role.Name], a.in.Marks.Of(role).Version)
}

func (a *Assembly) oldVersion(role string) int64 { return a.oldInfo(role).Version }

// oldInfo returns what the old snapshot lists of a role.
func (a *Assembly) oldInfo(role string) tufmeta.FileInfo {
	if a.old == nil || a.old.Type() != tufmeta.Snapshot {
		return tufmeta.FileInfo{}
	}
	info, _ := a.old.Listed(role)
	return info
}

// findMade finds the files of a role for a snapshot that is made: the version that was listed,
// later ones, and the one that the operator gives. They may have names of either layout.
func (a *Assembly) findMade(f *find, by *tufmeta.Role) error {
	name, given := by.Name, a.in.Word.Versions[by.Name]
	f.info = tufmeta.FileInfo{Version: a.floor(by)}
	versions, pending := a.versions(name)
	versions = slices.DeleteFunc(slices.Clone(versions), func(v int64) bool { return v <= f.info.Version })
	versions = append(versions[:min(len(versions), maxAhead)], f.info.Version, given)
	files := map[int64]*repofiles.File{}
	add := func(consistent bool, version int64) {
		file, err := a.named(repofiles.Layout{App: a.in.App, Consistent: consistent}, name, version)
		switch {
		case err != nil:
			pending = err
		case file.Document == nil || consistent && file.Version() != version:
		case files[file.Version()] == nil || consistent == a.repo.Layout.Consistent: // where it need not be copied
			files[file.Version()] = file
		}
	}
	add(false, 0)
	for _, version := range versions {
		if version > 0 {
			add(true, version)
		}
	}
	if pending != nil {
		return pending
	}
	f.listed, f.given = files[f.info.Version], files[given]
	if f.listed == nil && f.info.Version > 0 {
		f.err = a.fileError(name, f.info.Version, errNotFound)
	}
	if info := a.oldInfo(name); f.listed != nil && info.Version == f.info.Version {
		if err := info.Check(f.listed.Document); err != nil {
			f.err = a.reject(name, f.listed, err)
			if f.given == f.listed {
				f.given = nil
			}
			f.listed = nil
		}
	}
	for _, version := range slices.Sorted(maps.Keys(files)) {
		if version > f.info.Version {
			f.unlisted = append(f.unlisted, files[version])
		}
	}
	f.done = true
	return nil
}

// versions returns the versions of a role that the store holds files of under versioned names, the
// highest first. Where the store cannot be listed, these are the ones that are mentioned.
func (a *Assembly) versions(role string) ([]int64, error) {
	names, known := a.files.Names()
	if !known {
		a.need.Names = true
		return nil, errPending
	}
	if names.Err != nil {
		all := []int64{a.in.Word.Versions[role], a.oldVersion(role), a.in.Marks.Newest(role).Version}
		all = slices.DeleteFunc(all, func(v int64) bool { return v == 0 })
		slices.Sort(all)
		slices.Reverse(all)
		return slices.Compact(all), nil
	}
	if a.index == nil {
		a.index, a.plain = index(a.layout.App, names.All)
	}
	return a.index[role], nil
}

// index returns the versions in the names of an app's files, by role, the highest first, and the
// names without a version.
func index(app string, names []string) (versions map[string][]int64, plain map[string]bool) {
	versions, plain = map[string][]int64{}, map[string]bool{}
	for _, name := range names {
		name, isFile := strings.CutSuffix(strings.TrimPrefix(name, app+"/"), tufmeta.Suffix)
		plain[name] = isFile
		number, role, isVersioned := strings.Cut(name, ".")
		v, err := strconv.ParseInt(number, 10, 64)
		if isFile && isVersioned && err == nil && v > 0 && v <= tufmeta.MaxVersion {
			versions[role] = append(versions[role], v)
		}
	}
	for role := range maps.Keys(versions) {
		slices.Sort(versions[role])
		slices.Reverse(versions[role])
	}
	return versions, plain
}
