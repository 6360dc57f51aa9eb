package refserver

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// retryAfter is how many seconds a client should wait before it asks again.
const retryAfter = "5"

// A refusal is an error with its HTTP answer.
type refusal struct {
	status int
	why    string // for the client
	cause  error  // for the log only; may be nil
}

func (e *refusal) Error() string {
	if e.cause == nil {
		return e.why
	}
	return fmt.Sprintf("%s: %v", e.why, e.cause)
}

func (e *refusal) Unwrap() error { return e.cause }

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, why: fmt.Sprintf(format, args...)}
}

// answerTo returns the answer to err. The client learns the updater's errors about its request. Of
// all other errors, such as those of a store or a key service, it learns only that it should try
// again.
func answerTo(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if unverified, ok := errors.AsType[*tufupdate.VerificationError](err); ok {
		return &refusal{http.StatusInternalServerError, unverified.Error(), err}
	}
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(tufupdate.ErrRootRole):
		return &refusal{http.StatusBadRequest, "Root role cannot be updated via this endpoint", err}
	case is(tufupdate.ErrInvalidApp), is(tufupdate.ErrUnknownRole):
		return &refusal{http.StatusBadRequest, err.Error(), err}
	case is(tufupdate.ErrNotBootstrapped), is(tufupdate.ErrTargetsOffline),
		is(tufupdate.ErrRootExpired), is(tufupdate.ErrNoKey):
		return &refusal{http.StatusNotFound, err.Error(), err}
	case is(storage.ErrTooLarge):
		return &refusal{http.StatusInternalServerError, "file is too large", err}
	case is(tasks.ErrFull):
		return &refusal{http.StatusServiceUnavailable, tasks.ErrFull.Error(), err}
	case is(tufupdate.ErrStopped):
		return &refusal{http.StatusServiceUnavailable, tufupdate.ErrStopped.Error(), err}
	case is(tufupdate.ErrConflict):
		return &refusal{http.StatusServiceUnavailable, tufupdate.ErrConflict.Error(), err}
	default:
		return &refusal{http.StatusServiceUnavailable, "temporarily not available, try again later", err}
	}
}
