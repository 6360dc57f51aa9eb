// Package taskstest has [Run], the suite that every tasks.Store passes, and [Flaky], a store that
// fails on purpose.
package taskstest

import (
	"testing"

	"github.com/tufonline/tufonline/tasks"
)

// A Harness opens the stores that are tested.
type Harness struct {
	// Open creates an empty place for tasks, such as a database, for one test. open opens a store
	// there. Each call returns another one, as another process would have. A store in the memory of
	// one process returns the same one each time. Open closes stores with t.Cleanup.
	//
	// capacity is how many tasks may wait before Add returns tasks.ErrFull. 0 means the store's
	// default, which has to be 1000 or more.
	Open func(t testing.TB, capacity int) (open func() tasks.Store)

	// Unbounded means that the store ignores capacity.
	Unbounded bool

	// Retries means that the store begins another attempt, within seconds, if work fails with a
	// tasks.Temporary error.
	Retries bool
}

// Run checks that a store keeps the rules of package tasks. A store may be slow, but Run waits for
// half a minute at most. A test joins in a few lines:
//
//	taskstest.Run(t, taskstest.Harness{Retries: true, Open: func(_ testing.TB, capacity int) func() tasks.Store {
//		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
//		return func() tasks.Store { return m }
//	}})
func Run(t *testing.T, h Harness) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) { r.check(t, h) })
	}
}

// A rule is one rule of package tasks. Its check takes a testing.TB, so that a test can see it
// fail.
type rule struct {
	name  string
	check func(testing.TB, Harness)
}

func rules() []rule {
	return []rule{
		{"a task that was not added is not found", unknown},
		{"an accepted task is pending until a worker starts it", pending},
		{"a task is started while it is worked, and ends with its result", success},
		{"work that fails ends its task with the reason", failure},
		{"work that fails for now has another attempt if the store retries", temporary},
		{"work that panics ends its task with the reason", panics},
		{"work that ends its goroutine ends its task", exits},
		{"an ID is accepted once", twice},
		{"of racing adds of one ID one is accepted", racingAdds},
		{"many may add and get at once", crowd},
		{"the store shares no memory with its callers", ownership},
		{"a full store accepts no task until another has ended", full},
		{"with an ended context no task is unknown and none starts", ended},
		{"a stop waits for started tasks and does not cancel them", stop},
		{"the values of a context reach the work", values},
		{"a task that is added after a stop waits for the next run", restart},
		{"an ended task does not change", forGood},
		{"of several runs only one works a task", severalRuns},
		{"work that hangs delays no other task", hanging},
	}
}
