package published

import (
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// foresee names files that a pending judgement is likely to need next, going by documents that are
// not verified yet. They are trusted for nothing but that.
func (a *Assembly) foresee() {
	if len(a.roots) > 0 && a.repo.Roots == nil {
		a.layout.Consistent = a.root().Consistent
	}
	timestamp := a.foreseeFile(tufmeta.Timestamp, 0, repofiles.Current)
	if timestamp == nil || a.in.Depth < ToSnapshot {
		return
	}
	info, ok := timestamp.Listed(tufmeta.Snapshot)
	if !ok || len(a.roots) == 0 {
		return
	}
	snapshot := a.foreseeFile(tufmeta.Snapshot, info.Version, a.listedKind())
	if snapshot == nil || a.in.Depth < ToTargets || snapshot.Len() > repofiles.Parallel {
		return // of many files, only some will be needed
	}
	for role, version := range snapshot.ListedRoles() {
		a.foreseeFile(role, version, a.listedKind())
		if !a.in.Survey && a.layout.Consistent { // in a survey, of few roles only
			a.foreseeFile(role, version+1, repofiles.Next)
		}
	}
}

func (a *Assembly) listedKind() repofiles.Kind {
	if a.layout.Consistent {
		return repofiles.Listed
	}
	return repofiles.Current
}

// foreseeFile returns a file that was read, if it holds a document, or names it.
func (a *Assembly) foreseeFile(role string, version int64, kind repofiles.Kind) *repofiles.File {
	r := repofiles.Request{Name: a.layout.Name(role, version), Kind: kind}
	if len(a.roots) > 0 && role != tufmeta.Root {
		r.By = a.root().Roles[role] // nil for delegated roles
	}
	f, known := a.files.File(r)
	if !known {
		a.need.Ahead = append(a.need.Ahead, r)
		return nil
	}
	if f.Document == nil {
		return nil
	}
	return f
}

// foreseeRoots names further roots. There may be many, so they are not read one after the other.
func (a *Assembly) foreseeRoots(from, n int64) {
	for version := from; version < from+n; version++ {
		a.foreseeFile(tufmeta.Root, version, repofiles.Next)
	}
}
