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
	ignored  []Upload // files in the place of later versions that hold no document that could count
	taken    int64    // the highest version that a file was found for, whatever it holds
	next     int64    // the version to look for next
	done     bool
}

// find returns the files of a role. It is errPending until all are there, and remembers those that
// are.
func (a *Assembly) find(n *node) (*find, error) {
	by, name := n.role, n.role.Name
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
	seeks, pending := a.seeks(n)
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
			if a.layout.Consistent && seeks { // they are read at the same time
				_, _, _ = a.nextFile(by, info.Version+1)
			}
			return f, err
		}
		f.next = info.Version + 1
	}
	if pending != nil {
		return f, pending
	}
	if !seeks { // as yet: another document may declare the role otherwise
		return f, nil
	}
	if err := a.findUnlisted(f, by); err != nil {
		return f, err
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
		if file.Document != nil && file.Version() > f.info.Version && !slices.Contains(f.unlisted, file) {
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
		file, further, err := a.nextFile(by, version)
		if err != nil { // where there were some, there may be as many again
			for more := version + 1; more < 2*version-listed-1 && more <= listed+maxAhead; more++ {
				_, _ = a.file(name, more, repofiles.Next, by)
			}
			return err
		}
		if !file.Exists() {
			if further != nil && further.Exists() && !errors.Is(further.Err, storage.ErrInvalidKey) {
				f.ignored = append(f.ignored, Upload{Version: version + 1, File: further.Name,
					Reason: fmt.Errorf("version %d is the next one, and it is not there", version)})
			}
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
		f.ignored = append(f.ignored, Upload{Version: version, File: file.Name,
			Reason: a.fileError(name, version, file.Err)})
	}
}

// nextFile returns the file of a later version of a role. A thorough survey returns the one after
// that too, so that holders who have left out a number are told. Otherwise that would be one more
// request for each role.
func (a *Assembly) nextFile(by *tufmeta.Role, version int64) (file, further *repofiles.File, pending error) {
	file, pending = a.file(by.Name, version, repofiles.Next, by)
	if a.in.Thorough {
		var err error
		if further, err = a.file(by.Name, version+1, repofiles.Next, by); err != nil {
			pending = err
		}
	}
	return file, further, pending
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

// Finds reports whether judging the repository again finds the file of that version by itself.
func (r *Repository) Finds(role string, version int64) bool {
	if r.Snapshot == nil || !r.judge.layout.Consistent {
		return false
	}
	listed, isTargets := r.Snapshot.verified.Listed(role)
	return isTargets && version <= listed.Version+maxAhead
}
