package tufupdate

import (
	"errors"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// The kinds of errors, for programs: in the result of a failed task, and in a [Trouble]. Their
// texts stay the same from release to release.
const (
	CodeInvalidApp      = "invalid_app"         // ErrInvalidApp
	CodeRootRole        = "root_role"           // ErrRootRole
	CodeUnknownRole     = "unknown_role"        // ErrUnknownRole
	CodeTargetsOffline  = "targets_offline"     // ErrTargetsOffline
	CodeNotBootstrapped = "not_bootstrapped"    // ErrNotBootstrapped
	CodeRootExpired     = "root_expired"        // ErrRootExpired
	CodeNoKey           = "no_key"              // ErrNoKey
	CodeVerification    = "verification_failed" // *VerificationError
	CodeTooLarge        = "too_large"           // storage.ErrTooLarge
	CodeInvalidKey      = "invalid_key"         // storage.ErrInvalidKey
	CodeMemory          = "memory_unreadable"   // what is remembered of the app cannot be read
	CodeClock           = "clock"               // ErrClock
	CodeConflict        = "conflict"            // ErrConflict
	CodeFull            = "full"                // tasks.ErrFull
	CodeStopped         = "stopped"             // ErrStopped
	CodeUnavailable     = "unavailable"         // any other error, such as those of a store or a key service
	CodeExpired         = "expired"             // of a Trouble: the published document has expired
	CodeUpload          = "upload_waits"        // of a Trouble: holders have uploaded what cannot be accepted
	CodeOverdue         = "overdue"             // of a Trouble: a role should have been renewed by now
	CodeKeyUnusable     = "key_unusable"        // of a Trouble: a key is there, and cannot be used
)

// CodeOf returns the code of an error of this package, empty for nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	return kindOf(err).code
}

// A kind is what follows from an error.
type kind struct {
	code      string
	permanent bool // another attempt would fail in the same way until somebody acts
}

// kindOf returns the kind of an error.
func kindOf(err error) kind {
	for _, known := range []struct {
		sentinel error
		kind
	}{
		{ErrInvalidApp, kind{CodeInvalidApp, true}},
		{ErrRootRole, kind{CodeRootRole, true}},
		{ErrUnknownRole, kind{CodeUnknownRole, true}},
		{ErrTargetsOffline, kind{CodeTargetsOffline, true}},
		{ErrNotBootstrapped, kind{CodeNotBootstrapped, true}},
		{ErrRootExpired, kind{CodeRootExpired, true}},
		{ErrNoKey, kind{CodeNoKey, true}},
		{storage.ErrTooLarge, kind{CodeTooLarge, true}},
		{storage.ErrInvalidKey, kind{CodeInvalidKey, true}},
		{repofiles.ErrUnreadable, kind{CodeMemory, true}},
		{ErrClock, kind{CodeClock, false}},
		{ErrConflict, kind{CodeConflict, false}},
		{tasks.ErrFull, kind{CodeFull, false}},
		{ErrStopped, kind{CodeStopped, false}},
	} {
		if errors.Is(err, known.sentinel) {
			return known.kind
		}
	}
	if _, tampered := errors.AsType[*VerificationError](err); tampered {
		return kind{CodeVerification, true}
	}
	return kind{CodeUnavailable, false}
}

// actorOf returns who has to act on an error with a code.
func actorOf(code string) Actor {
	switch code {
	case CodeTargetsOffline, CodeRootExpired, CodeRootRole:
		return ActorHolders
	case CodeConflict, CodeFull, CodeStopped, CodeUnavailable, "":
		return ActorUpdater
	}
	return ActorOperator
}
