package published

import (
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Versions always grow. The next one is above the highest that is known from what satisfies rule 1:
// the published document, files in the way, memory, and what a timestamp or a snapshot lists that
// satisfies it. What only replaced keys have signed no client counts any more. Where nothing is
// known, the next version is the Unix time in seconds: that is above all that was honestly used. So
// is that of a timestamp that takes the place of one that does not count, since others may have
// published since this process last looked, and of a snapshot beside it.

// above returns what the next version of a role has to be greater than, 0 if nothing is known.
func (a *Assembly) above(role *tufmeta.Role, d *Document, taken int64) int64 {
	known := max(taken, a.in.Marks.Of(role).Version, a.listedVersion(role.Name))
	if d != nil && !d.Believed() {
		known = max(known, d.Version())
	}
	if d == nil && a.repo.Timestamp == nil {
		known = max(known, a.in.Now.Unix())
	}
	return known
}

// listedVersion returns the version of a role that a timestamp or a snapshot lists that satisfies
// rule 1, 0 if none does.
func (a *Assembly) listedVersion(role string) int64 {
	by := a.repo.Snapshot
	if role == tufmeta.Snapshot {
		by = a.repo.Timestamp
	}
	if role == tufmeta.Timestamp || by == nil {
		return 0
	}
	info, _ := by.verified.Listed(role)
	return info.Version
}

// Exhausted says that a role has no next version, and which keys root's holders have to replace so
// that clients forget the last one.
func (b Base) Exhausted() error {
	keys := b.role.Name
	switch b.role.Name {
	case tufmeta.Timestamp:
	case tufmeta.Snapshot:
		keys = "snapshot and timestamp"
	default:
		keys = "snapshot, timestamp and " + b.role.Name
	}
	return fmt.Errorf("no version can follow %d: %w", b.above, errors.New("the keys of "+keys+" have to be replaced"))
}
