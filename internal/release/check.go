package release

import (
	"fmt"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// check looks at a release as a client would that holds what is published. Nothing was written yet.
func (rel *release) check(repo *published.Repository) error {
	for _, c := range rel.changes() {
		if c.new.Version() <= c.old.Version() {
			return fmt.Errorf("role %s: version %d does not follow %d", c.new.Role().Name, c.new.Version(), c.old.Version())
		}
	}
	snapshot, before := repo.Snapshot.Verified(), repo.Snapshot.Verified()
	if rel.snapshot != nil {
		snapshot = rel.snapshot.new
		if err := rel.checkSnapshot(snapshot, before); err != nil {
			return fmt.Errorf("snapshot version %d: %w", snapshot.Version(), err)
		}
	}
	timestamp := rel.timestamp.new
	if err := checkListed(timestamp, repo.Timestamp.Verified(), tufmeta.Snapshot, snapshot.Document); err != nil {
		return fmt.Errorf("timestamp version %d: %w", timestamp.Version(), err)
	}
	return nil
}

func (rel *release) checkSnapshot(snapshot, before *tufmeta.Verified) error {
	if snapshot.Len() < before.Len() {
		return fmt.Errorf("it lists %d files where %d were listed", snapshot.Len(), before.Len())
	}
	for role, d := range rel.listed { // the others are listed as they were
		if err := checkListed(snapshot, before, role, d); err != nil {
			return err
		}
	}
	return nil
}

// checkListed checks that a document lists a role's file as it is, and no earlier version than
// before.
func checkListed(by, before *tufmeta.Verified, role string, d *tufmeta.Document) error {
	info, _ := by.Listed(role)
	if err := info.Check(d); err != nil {
		return fmt.Errorf("role %s: %w", role, err)
	}
	if was, _ := before.Listed(role); info.Version < was.Version {
		return fmt.Errorf("it lists %s version %d where %d was listed", role, info.Version, was.Version)
	}
	return nil
}
