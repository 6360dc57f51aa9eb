// Package tasks keeps accepted tasks and their results. It has the [Store] interface and [Memory].
// Package taskstest has the suite that every Store passes.
package tasks

import (
	"context"
	"errors"
	"time"
)

// The errors of a Store. Callers test for them with errors.Is.
var (
	ErrNotFound = errors.New("no such task")
	ErrFull     = errors.New("too many tasks are waiting") // the caller may try again later
	ErrExists   = errors.New("task exists")                // Add was called with this ID before
)

// A State is the progress of a task.
type State string

// The states, in the order in which a task goes through them. A task ends in StateSuccess or
// StateFailure, which never changes. A task that waits for another attempt is pending again.
const (
	StatePending State = "PENDING" // no worker has the task
	StateStarted State = "STARTED" // a worker has the task
	StateSuccess State = "SUCCESS"
	StateFailure State = "FAILURE"
)

// Ended reports whether the state is StateSuccess or StateFailure.
func (s State) Ended() bool { return s == StateSuccess || s == StateFailure }

// A Task is accepted work: to sign and publish new versions of an app's roles.
type Task struct {
	ID    string   // a UUID that the caller of Add chooses
	App   string   // a path of plain segments
	Roles []string // never empty

	// The store sets the other fields. Add ignores them.
	State       State
	Created     time.Time // when Add accepted the task
	Updated     time.Time // when State last changed
	Attempt     int       // how many attempts have begun
	MaxAttempts int       // how many attempts the task has at most
	Result      Result    // before the task has ended, Error and Code are those of a failed attempt
}

// A Result is the outcome of a task.
type Result struct {
	Error    string           // why the last attempt failed; empty on success
	Code     string           // what kind of error it is, for programs; see WithCode; empty on success
	Roles    []string         // the signed roles, in the order in which they were published
	Versions map[string]int64 // the version of each of Roles
	Accepted map[string]int64 // by role, the uploaded versions that the release lists for the first time
	Warnings []string         // for the operator; they did not stop the work
}

// Temporary marks an error of work that another attempt may not meet. The text stays the same. If
// err is nil, Temporary returns nil.
func Temporary(err error) error {
	if err == nil {
		return nil
	}
	return temporary{err}
}

// IsTemporary reports whether [Temporary] marked an error, or one that it wraps.
func IsTemporary(err error) bool {
	_, ok := errors.AsType[temporary](err)
	return ok
}

type temporary struct{ error }

func (t temporary) Unwrap() error { return t.error }

// Retention is how long a store keeps an ended task at least. A store of limited space may keep
// fewer tasks, and documents how many.
const Retention = 7 * 24 * time.Hour

// A Store accepts tasks, hands them to workers, and keeps their results. Many goroutines may call
// its methods at once. The values that it returns share no memory with those that it keeps.
type Store interface {
	// Add accepts a pending task. It reads only ID, App and Roles. A durable store has stored the
	// task when Add returns nil. The error is ErrFull if too many tasks wait, and ErrExists if the
	// ID was added before.
	Add(ctx context.Context, t Task) error

	// Get returns a task by its ID. The error is ErrNotFound if no such task was added, or if it
	// ended longer than Retention ago.
	Get(ctx context.Context, id string) (Task, error)

	// Run calls work for tasks, many at once, until ctx ends. Then it starts no more tasks, waits
	// for the started ones, and returns nil.
	//
	// The context of work has the values of ctx and does not end with it. It may end if work takes
	// too long.
	//
	//   - If work returns an error, the task ends in StateFailure with the error's text and code.
	//     [WithCode] gives an error its code. Run ignores Error and Code of work's Result.
	//   - If the error is [Temporary], the store may begin other attempts later, a limited number.
	//   - If work panics or ends its goroutine, that is an error with CodePanic that is not
	//     Temporary.
	//   - If a started task loses its worker, it is worked again. So work must be safe to repeat.
	//     If that was its last attempt, the task ends in StateFailure with CodeLost.
	//
	// Several Runs may be active in one process. With a durable store they may be in many
	// processes.
	Run(ctx context.Context, work func(context.Context, Task) (Result, error)) error
}
