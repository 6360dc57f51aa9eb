package release

import (
	"fmt"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// check looks at a release as a client would that holds what is published. Nothing was written yet.
func (rel *release) check(repo *published.Repository) error {
	for _, c := range rel.changes() {
		if c.old != nil && !c.old.Believed() && c.new.Version() <= c.old.Version() {
			return fmt.Errorf("role %s: version %d does not follow %d", c.new.Role().Name, c.new.Version(), c.old.Version())
		}
	}
	snapshot := repo.Snapshot.Verified()
	if rel.snapshot != nil {
		snapshot = rel.snapshot.new
		if err := rel.checkSnapshot(snapshot, repo.Snapshot); err != nil {
			return fmt.Errorf("snapshot version %d: %w", snapshot.Version(), err)
		}
	}
	timestamp := rel.timestamp.new
	if err := checkListed(timestamp, repo.Timestamp, tufmeta.Snapshot, snapshot.Document); err != nil {
		return fmt.Errorf("timestamp version %d: %w", timestamp.Version(), err)
	}
	return nil
}

func (rel *release) checkSnapshot(snapshot *tufmeta.Verified, before *published.Document) error {
	if was := before.Verified(); was != nil && snapshot.Len() < was.Len() {
		return fmt.Errorf("it lists %d files where %d were listed", snapshot.Len(), was.Len())
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
func checkListed(by *tufmeta.Verified, before *published.Document, role string, d *tufmeta.Document) error {
	info, _ := by.Listed(role)
	if err := info.Check(d); err != nil {
		return fmt.Errorf("role %s: %w", role, err)
	}
	if before.Verified() == nil {
		return nil
	}
	if was, _ := before.Verified().Listed(role); info.Version < was.Version {
		return fmt.Errorf("it lists %s version %d where %d was listed", role, info.Version, was.Version)
	}
	return nil
}
