package tufupdate

import (
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
)

// Why a request is refused or a roll fails, to be tested with errors.Is. A roll that fails has left
// the published repository as it was. Errors of the store, the key provider and the task store come
// through wrapped, so that [storage.ErrTooLarge], [tasks.ErrFull] and the like can be told too.
var (
	// ErrInvalidApp: the app's name is not a path of plain segments.
	ErrInvalidApp = errors.New("invalid app name")
	// ErrRootRole: root was asked for; it is never signed online.
	ErrRootRole = errors.New("root role cannot be updated online")
	// ErrUnknownRole: the repository has no such role.
	ErrUnknownRole = published.ErrUnknownRole
	// ErrTargetsOffline: targets was asked for, and its keys are offline.
	ErrTargetsOffline = custody.ErrTargetsOffline
	// ErrNotBootstrapped: the app has no root or no timestamp yet, or its settings say that it is
	// not ready.
	ErrNotBootstrapped = published.ErrNotBootstrapped
	// ErrRootExpired: the newest root has expired; clients accept nothing until its key holders
	// sign another.
	ErrRootExpired = published.ErrRootExpired
	// ErrNoKey: the provider does not have enough keys of a role that has to be signed. It is
	// [keys.ErrNoKey].
	ErrNoKey = keys.ErrNoKey
	// ErrConflict: other writers won every time; the work can be tried again.
	ErrConflict = release.ErrConflict
	// ErrRunning: the updater's Run has been called already, and an Updater runs once.
	ErrRunning = errors.New("updater is running")
	// ErrStopped: the updater's Run has ended or is ending, so nothing more is accepted.
	ErrStopped = errors.New("updater is stopping")
	// ErrRenewalLate: the renewal has not come round to look at all apps for too long.
	ErrRenewalLate = errors.New("renewal is late")
)

// A VerificationError says which file of a repository cannot be trusted, and why. Nothing was
// signed.
type VerificationError struct {
	App     string
	Role    string
	Version int64  // 0 if it could not be read
	File    string // its name in the store
	Err     error  // what is wrong with it
}

func (e *VerificationError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("app %s: role %s (%s) does not verify: %v", e.App, e.Role, e.File, e.Err)
	}
	return fmt.Sprintf("app %s: role %s version %d (%s) does not verify: %v", e.App, e.Role, e.Version, e.File, e.Err)
}

func (e *VerificationError) Unwrap() error { return e.Err }

// permanent reports whether another attempt at a roll would fail in the same way, unless somebody
// sees to it.
func permanent(err error) bool {
	for _, sentinel := range []error{
		ErrInvalidApp, ErrRootRole, ErrUnknownRole, ErrTargetsOffline, ErrNotBootstrapped, ErrRootExpired, ErrNoKey,
		storage.ErrInvalidKey, storage.ErrTooLarge,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	_, tampered := errors.AsType[*VerificationError](err)
	return tampered
}

func errorf(app, what string, err error) error { return fmt.Errorf("app %s: %s: %w", app, what, err) }
