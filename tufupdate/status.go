package tufupdate

import (
	"context"
	"time"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
)

// A Status is what an app's published repository looks like to somebody who verifies it from the
// pinned root.
type Status struct {
	App      string
	Roles    []RoleStatus // root, timestamp, snapshot, targets, then delegated roles by name
	Warnings []string
}

// A RoleStatus is one role of a Status.
type RoleStatus struct {
	Role    string
	Version int64     // as published; 0 if it could not be read
	Expires time.Time // UTC; zero if it could not be read
	// seconds from now, negative once it has expired; nil if it could not be read
	ExpiresIn *int64
	// it is signed by its role's threshold and is what the role above it lists
	Verified bool
	// the key provider holds a threshold of its keys, and they can be used
	Online  bool
	Problem string // why it is not verified
}

// Status reads an app's whole repository back and verifies it as a client would, every delegated
// role and bin included. What does not verify shows in the result; roles below it are missing
// there. Signers are asked for their public keys. A role of which the provider cannot say whether
// it has the keys, or of which they are not the ones declared, is not online, with a warning. There
// is one too for a root or an offline role that expires within Config.WarnExpiry. Errors are those
// of the store and the settings, ErrInvalidApp, ErrNotBootstrapped, and a *VerificationError for
// root.
func (u *Updater) Status(ctx context.Context, app string) (Status, error) {
	if err := CheckApp(app); err != nil {
		return Status{}, err
	}
	settings, err := u.settings(ctx, app)
	if err != nil {
		return Status{}, err
	}
	set := repofiles.NewSet(u.store, repofiles.State{}, false)
	s, _, err := u.survey(ctx, app, settings, set, published.Input{})
	if err != nil {
		return Status{}, err
	}
	return s.status, nil
}
