// Package tasks keeps accepted work and what became of it: the [Store] interface and [Memory].
// Package taskstest holds the suite that every Store passes.
package tasks

import (
	"context"
	"errors"
	"time"
)

// The errors of a Store, to be tested with errors.Is.
var (
	ErrNotFound = errors.New("no such task")
	ErrFull     = errors.New("too many tasks are waiting") // try again later
	ErrExists   = errors.New("task exists")                // the ID was added before
)

// A State says how far a task is.
type State string

// The states, in the order in which a task goes through them. A task ends in StateSuccess or
// StateFailure and stays so. One that was begun and is to be tried again is pending once more.
const (
	StatePending State = "PENDING" // accepted, no worker has it
	StateStarted State = "STARTED" // a worker has it
	StateSuccess State = "SUCCESS"
	StateFailure State = "FAILURE"
)

// Ended reports whether the state is a last one.
func (s State) Ended() bool { return s == StateSuccess || s == StateFailure }

// A Task is a piece of accepted work: roles of an app that are to be signed and published anew.
type Task struct {
	ID    string   // a UUID, chosen by whoever adds the task
	App   string   // path of plain segments
	Roles []string // never empty

	// The rest is the store's and is ignored by Add.
	State       State
	Created     time.Time // when it was added
	Updated     time.Time // when State last changed
	Attempt     int       // how often it was begun
	MaxAttempts int       // how often it is begun at most
	Result      Result    // zero until the task has ended, but for Error: why the last attempt failed
}

// A Result is what became of a task.
type Result struct {
	Error    string           // why it failed, or the last attempt did; empty on success
	Roles    []string         // what was signed, in publishing order
	Versions map[string]int64 // the version of each of Roles
	Warnings []string         // what the operator should see to, although it did not stop the work
}

// Temporary marks an error of work as one that may not come again. The text stays the same. nil
// stays nil.
func Temporary(err error) error {
	if err == nil {
		return nil
	}
	return temporary{err}
}

// IsTemporary reports whether an error, or one that it wraps, was marked by [Temporary].
func IsTemporary(err error) bool {
	_, ok := errors.AsType[temporary](err)
	return ok
}

type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// Retention is how long a store keeps a task after it has ended, at least. A store of limited space
// may keep fewer tasks, and says so.
const Retention = 7 * 24 * time.Hour

// A Store accepts tasks, hands them to workers, and remembers what became of them. Its methods may
// be called from many goroutines at once, and what it returns shares no memory with what it keeps.
type Store interface {
	// Add accepts a task as pending; only ID, App and Roles matter. With a durable store it
	// survives this process once Add returned nil. ErrFull if too many tasks wait, ErrExists if the
	// ID is taken.
	Add(ctx context.Context, t Task) error

	// Get returns a task by its ID. ErrNotFound if there is none, or if it ended longer than
	// Retention ago.
	Get(ctx context.Context, id string) (Task, error)

	// Run hands tasks to work, many at once, until ctx ends; then it takes no more, waits for those
	// begun and returns nil. The context that work receives has the values of ctx and does not end
	// with it, but may when work takes too long. An error from work ends its task as StateFailure,
	// with the error's text in the result; if it is [Temporary], a store may have the task tried
	// again, later and a limited number of times. A panic in work is an error that is not. A task
	// that was begun and lost its worker is run again, so work must be safe to repeat. Several Runs
	// may be active, in one process or, with a durable store, in many.
	Run(ctx context.Context, work func(context.Context, Task) (Result, error)) error
}
