package tasks

import "errors"

// The codes that a Store sets by itself. Work sets others with [WithCode].
const (
	CodePanic     = "panic"     // work panicked, or ended its goroutine
	CodeLost      = "lost"      // the attempt lost its worker
	CodeCancelled = "cancelled" // a person cancelled the task with the store's own tools
)

// WithCode marks an error of work with the code for Result.Code, which says what kind of error it
// is. The text stays the same. If err is nil or code is empty, WithCode returns err.
func WithCode(err error, code string) error {
	if err == nil || code == "" {
		return err
	}
	return coded{err, code}
}

// CodeOf returns the outermost code of an error and of the errors that it wraps. It is empty if
// there is none.
func CodeOf(err error) string {
	c, _ := errors.AsType[coded](err)
	return c.code
}

type coded struct {
	error
	code string
}

func (c coded) Unwrap() error { return c.error }
