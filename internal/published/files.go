package published

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// maxAhead is how many files are read beyond the one that is listed. Key holders who upload
// documents leave a few at most.
const maxAhead = 64

// A find is what the store holds of one targets role, whoever has signed it.
type find struct {
	info     tufmeta.FileInfo // what the snapshot lists
	listed   *repofiles.File  // the file that is listed; nil if it is missing, or another
	given    *repofiles.File  // the version that the operator gives
	err      error            // what is wrong with the listed one
	unlisted []*repofiles.File
	taken    int64 // the highest version that a file was found for, whatever it holds
	next     int64 // the version to look for next
	done     bool
}

// find returns the files of a role. It is errPending until all are there, and remembers those that
// are. by is the role whose keys they will be verified with.
func (a *Assembly) find(by *tufmeta.Role) (*find, error) {
	name := by.Name
	f := a.finds[name]
	if f == nil {
		f = &find{}
		a.finds[name] = f
	}
	if f.done {
		return f, nil
	}
	if a.made {
		return f, a.findMade(f, by)
	}
	if f.next == 0 {
		info, known := a.repo.Snapshot.verified.Listed(name)
		f.info, f.taken = info, info.Version
		var err error
		switch {
		case !a.layout.Consistent:
			err = a.findOnly(f, by)
		case known:
			err = a.findListed(f, by)
		}
		if err != nil {
			if a.layout.Consistent && !a.in.ListedOnly { // it is read at the same time
				_, _ = a.file(name, info.Version+1, repofiles.Next, by)
			}
			return f, err
		}
		f.next = info.Version + 1
	}
	if !a.in.ListedOnly {
		if err := a.findUnlisted(f, by); err != nil {
			return f, err
		}
	}
	f.done = true
	return f, nil
}

// findUnlisted finds the versions after the one that the snapshot lists. While root's holders
// change the layout, uploads may have names of either.
func (a *Assembly) findUnlisted(f *find, by *tufmeta.Role) error {
	root := a.repo.Layout
	if !root.Consistent && a.layout.Consistent {
		file, err := a.named(root, by.Name, 0)
		if err != nil {
			return err
		}
		if file.Document != nil && file.Version() > f.info.Version {
			f.unlisted = append(f.unlisted, file)
		}
	}
	if !root.Consistent && !a.layout.Consistent {
		return nil
	}
	reading := a.layout
	defer func() { a.layout = reading }()
	a.layout.Consistent = true
	if err := a.findVersioned(f, by); err != nil {
		return err
	}
	slices.SortStableFunc(f.unlisted, func(a, b *repofiles.File) int { return cmp.Compare(a.Version(), b.Version()) })
	return nil
}

// findListed finds the version that the snapshot lists.
func (a *Assembly) findListed(f *find, by *tufmeta.Role) error {
	file, err := a.listed(by.Name, f.info.Version, by)
	if err == nil && !file.Exists() {
		err = a.fileError(by.Name, f.info.Version, errNotFound)
	}
	if err == nil {
		if err = a.checkListed(f.info, file); err != nil {
			err = a.reject(by.Name, file, err)
		}
	}
	if f.err, err = Untrusted(err); err == nil && f.err == nil {
		f.listed = file
	}
	return err
}

// findVersioned finds unlisted versions under versioned names.
func (a *Assembly) findVersioned(f *find, by *tufmeta.Role) error {
	name, listed := by.Name, f.info.Version
	for ; ; f.next++ {
		version := f.next
		if version > listed+maxAhead {
			a.notes = append(a.notes, fmt.Sprintf("role %s: more than %d files after version %d: the rest is not read",
				name, maxAhead, listed))
			return nil
		}
		file, err := a.file(name, version, repofiles.Next, by)
		if err != nil { // where there were some, there may be as many again
			for more := version + 1; more < 2*version-listed-1 && more <= listed+maxAhead; more++ {
				_, _ = a.file(name, more, repofiles.Next, by)
			}
			return err
		}
		if !file.Exists() {
			return nil
		}
		f.taken = max(f.taken, version)
		if file.Err == nil {
			f.unlisted = append(f.unlisted, file)
			continue
		}
		if errors.Is(file.Err, storage.ErrInvalidKey) && listed == 0 { // no version can be there
			f.err = a.fileError(name, version, file.Err)
			return nil
		}
		a.notes = append(a.notes, ignoring(name, version, a.fileError(name, version, file.Err)))
	}
}

// findOnly finds the one file that there is without consistent snapshots. It is the listed version
// or a later one.
func (a *Assembly) findOnly(f *find, by *tufmeta.Role) error {
	name := by.Name
	file, err := a.listed(name, 0, by)
	if err == nil && !file.Exists() {
		if f.info.Version != 0 {
			f.err = a.fileError(name, f.info.Version, errNotFound)
		}
		return nil
	}
	if err == nil {
		f.taken = max(f.taken, file.Version())
		if err = a.checkListed(f.info, file); err != nil {
			err = a.reject(name, file, err)
		}
	}
	f.err, err = Untrusted(err)
	switch {
	case err != nil || f.err != nil:
	case file.Version() > f.info.Version:
		f.unlisted = append(f.unlisted, file)
	default:
		f.listed = file
	}
	return err
}

// checkListed checks that a file is the one that is listed, or, where names carry no version, one
// that was written over it since.
func (a *Assembly) checkListed(info tufmeta.FileInfo, f *repofiles.File) error {
	if !a.layout.Consistent && f.Version() > info.Version {
		return nil
	}
	return info.Check(f.Document)
}

// ignoring says that an unlisted version is not accepted.
func ignoring(role string, version int64, reason error) string {
	return fmt.Sprintf("ignoring unlisted version %d of role %s: %v", version, role, reason)
}

// Finds reports whether judging the repository again finds the file of that version by itself.
func (r *Repository) Finds(role string, version int64) bool {
	if r.Snapshot == nil || !r.judge.layout.Consistent {
		return false
	}
	listed, isTargets := r.Snapshot.verified.Listed(role)
	return isTargets && version <= listed.Version+maxAhead
}
