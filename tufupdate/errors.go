package tufupdate

import (
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/keys"
)

// The errors of requests and rolls, for errors.Is. A roll that fails leaves the published
// repository as it was. Errors of the store, the key provider and the task store come wrapped, such
// as [storage.ErrTooLarge] and tasks.ErrFull.
var (
	// ErrInvalidApp says that the app's name is not a path of plain segments.
	ErrInvalidApp = errors.New("invalid app name")
	// ErrRootRole says that the caller asked for root, which is never signed online.
	ErrRootRole = errors.New("root role cannot be updated online")
	// ErrUnknownRole says that the repository has no such role.
	ErrUnknownRole = published.ErrUnknownRole
	// ErrTargetsOffline says that the caller asked for targets, whose keys are offline.
	ErrTargetsOffline = custody.ErrTargetsOffline
	// ErrNotBootstrapped says that the app has no root or no timestamp yet, or that its settings
	// say it is not ready.
	ErrNotBootstrapped = published.ErrNotBootstrapped
	// ErrRootExpired says that the newest root has expired. Clients accept nothing until root's key
	// holders sign another.
	ErrRootExpired = published.ErrRootExpired
	// ErrNoKey says that the key provider lacks keys of a role that has to be signed. It is
	// [keys.ErrNoKey].
	ErrNoKey = keys.ErrNoKey
	// ErrConflict says that other writers were faster at every attempt. Another roll may succeed.
	ErrConflict = release.ErrConflict
	// ErrRunning says that Run has been called already. An Updater runs once.
	ErrRunning = errors.New("updater is running")
	// ErrStopped says that Run is ending or has ended, and that the Updater accepts nothing more.
	ErrStopped = errors.New("updater is stopping")
	// ErrRenewalLate says that the renewal has made no progress for too long.
	ErrRenewalLate = errors.New("renewal is late")
	// ErrUnhealthy says that rolls fail, or that no app is healthy.
	ErrUnhealthy = errors.New("apps are not healthy")
	// ErrClock says that a new document would have expired already, by the clock of the store.
	ErrClock = release.ErrClock
)

// A VerificationError says which file of a repository does not verify, and why. Nothing was signed.
type VerificationError struct {
	App     string
	Role    string
	Version int64  // 0 if it could not be read
	File    string // its name in the store
	Err     error  // why it does not verify
}

func (e *VerificationError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("app %s: role %s (%s) does not verify: %v", e.App, e.Role, e.File, e.Err)
	}
	return fmt.Sprintf("app %s: role %s version %d (%s) does not verify: %v", e.App, e.Role, e.Version, e.File, e.Err)
}

func (e *VerificationError) Unwrap() error { return e.Err }

func errorf(app, what string, err error) error { return fmt.Errorf("app %s: %s: %w", app, what, err) }
