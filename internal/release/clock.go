package release

import (
	"errors"
	"fmt"
	"time"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/storage"
)

// ErrClock says that a new document would have expired already, by the clock of the store.
var ErrClock = errors.New("the clock of this machine is wrong")

const (
	// maxSkew is how far clocks may be apart before somebody has to look.
	maxSkew = 5 * time.Minute
	// jitter is by how much clocks that are right may differ.
	jitter = time.Minute
)

// Skew returns a warning if the clock of a store differs from the one of this machine.
func Skew(store storage.Store) string {
	clock, ok := storage.As[storage.Clock](store)
	if !ok {
		return ""
	}
	ahead, known := clock.Skew()
	if !known || ahead.Abs() <= maxSkew {
		return ""
	}
	which := "ahead of"
	if ahead < 0 {
		which = "behind"
	}
	return fmt.Sprintf("the clock of the store is %v %s the clock of this machine: one of them is wrong",
		ahead.Abs().Round(time.Second), which)
}

// ClocksAgree reports whether the clock of a store is that of this machine, as far as is known.
func ClocksAgree(store storage.Store) bool {
	clock, ok := storage.As[storage.Clock](store)
	if !ok {
		return false
	}
	ahead, known := clock.Skew()
	return known && ahead.Abs() <= maxSkew
}

// checkClock returns an error if a new document would have expired already by the store's clock. It
// warns of one that expires before the document that it replaces, although both were signed for the
// same time.
func (rel *release) checkClock(store storage.Store, repo *published.Repository, now time.Time) error {
	if warning := Skew(store); warning != "" {
		rel.warnings = append(rel.warnings, warning)
	}
	theirs := now
	if clock, ok := storage.As[storage.Clock](store); ok {
		if ahead, known := clock.Skew(); known && ahead > 0 {
			theirs = now.Add(ahead)
		}
	}
	for _, c := range rel.changes() {
		role, expires := c.new.Role().Name, c.new.Expires()
		if !expires.After(theirs) {
			return fmt.Errorf("role %s: version %d would expire at %s, and by the clock of the store it is %s: %w", role,
				c.new.Version(), stamp(expires), stamp(theirs), ErrClock)
		}
		if repo.SignedFor(c.old) == c.validity && expires.Before(c.old.Verified().Expires().Add(-jitter)) {
			rel.warnings = append(rel.warnings, fmt.Sprintf("role %s: version %d expires at %s, before the one that it "+
				"replaces, at %s: the clock of this machine is wrong, or another signer's was", role, c.new.Version(),
				stamp(expires), stamp(c.old.Verified().Expires())))
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
