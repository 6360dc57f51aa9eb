// Package taskstest holds [Run], the suite that every tasks.Store passes, and [Flaky], a store that
// fails on purpose.
package taskstest

import (
	"testing"

	"github.com/tufonline/tufonline/tasks"
)

// A Harness makes the stores that are tested.
type Harness struct {
	// Open makes a place for tasks that nobody has used yet, for one test, and returns what opens a
	// handle on it: each call another one, as another process would have. A store that is confined
	// to one process returns the same handle each time. What has to be closed is closed by
	// t.Cleanup.
	//
	// capacity is how many tasks may wait before Add is tasks.ErrFull, or 0 for the default, which
	// has to be at least 1000.
	Open func(t testing.TB, capacity int) (open func() tasks.Store)

	// Unbounded says that the store ignores capacity.
	Unbounded bool

	// Retries says that the store has a task tried again, within seconds, whose work failed with an
	// error that is tasks.Temporary.
	Retries bool
}

// Run checks a store against what package tasks promises. How long things take does not matter to
// it, but what has not happened after half a minute never will. It is joined in a few lines:
//
//	taskstest.Run(t, taskstest.Harness{Open: func(_ testing.TB, capacity int) func() tasks.Store {
//		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
//		return func() tasks.Store { return m }
//	}})
func Run(t *testing.T, h Harness) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) { r.check(t, h) })
	}
}

// A rule is one promise. Its check takes an interface so that a test can see it fail.
type rule struct {
	name  string
	check func(testing.TB, Harness)
}

func rules() []rule {
	return []rule{
		{"a task that nobody added is not found", unknown},
		{"an accepted task is pending until a worker has it", pending},
		{"a task is started while it is worked, and ends with its result", success},
		{"work that fails ends its task with the reason", failure},
		{"work that fails for now is tried again, where that is promised", temporary},
		{"work that panics ends its task with the reason", panics},
		{"an ID is taken once", twice},
		{"of racing adds of one ID one is accepted", racingAdds},
		{"many may add and get at once", crowd},
		{"what is kept belongs to the store", ownership},
		{"a full store accepts no more until there is room", full},
		{"a context that has ended makes no task unknown, and begins none", ended},
		{"a stop waits for what was begun, and does not end it", stop},
		{"the values of a context reach the work", values},
		{"what is added after a stop waits for the next run", restart},
		{"a task that has ended stays so", forGood},
		{"of several runs one works a task", severalRuns},
		{"work that hangs holds up no other", hanging},
	}
}
