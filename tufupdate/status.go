package tufupdate

import (
	"context"
	"time"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/repofiles"
)

// A Status shows an app's published repository, verified from the pinned root.
type Status struct {
	App      string
	Roles    []RoleStatus // root, timestamp, snapshot, targets, then delegated roles by name
	Troubles []Trouble    // none if clients can go on
	Uploads  []Upload     // unlisted versions of targets roles
	Warnings []string
}

// A RoleStatus is one role of a Status.
type RoleStatus struct {
	Role    string
	Version int64     // the published version; 0 if it could not be read
	Expires time.Time // UTC; zero if it could not be read

	// ExpiresIn counts seconds from now. It is negative for an expired document, and nil if the
	// document could not be read.
	ExpiresIn *int64

	// Due is when the renewal signs the role's next version. It is zero for a role that is offline.
	Due time.Time

	Verified bool   // the role's threshold has signed the document, and the role above lists it
	Online   bool   // a threshold of the role's keys is available and can be used
	Problem  string // why the document is not verified
}

// Status reads an app's whole repository and verifies it as a client does, every delegated role and
// bin included. The result shows a document that does not verify. Roles below it are missing there.
//
// Status asks signers for their public keys. A role is not online, and is a trouble, if the
// provider fails to answer or has other keys than those declared. So is a role that clients reject,
// that has expired, or that is due and cannot be signed. A root or an offline role that expires
// within Config.WarnExpiry has a warning.
//
// Errors are those of the store and the settings, ErrInvalidApp, ErrNotBootstrapped, and a
// *VerificationError for root.
func (u *Updater) Status(ctx context.Context, app string) (Status, error) {
	if err := CheckApp(app); err != nil {
		return Status{}, err
	}
	settings, err := u.settings(ctx, app)
	if err != nil {
		return Status{}, err
	}
	set := repofiles.NewSet(u.store, repofiles.State{}, false)
	s, _, err := u.survey(ctx, app, settings, set, published.Input{Thorough: true})
	if err != nil {
		return Status{}, err
	}
	if skew := release.Skew(u.store); skew != "" {
		s.troubleOf("", CodeClock, ActorOperator, skew)
	}
	u.health.since(app, s.status.Troubles, s.now)
	return s.status, nil
}
