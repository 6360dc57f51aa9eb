package tufupdate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/taskstest"
	"github.com/tufonline/tufonline/tufupdate"
)

var errTasksDown = errors.New("tasks are out of reach")

var taskFaults = []struct {
	name  string
	fault taskstest.Fault
	says  string
}{
	{"fails before it lands", taskstest.Fault{Before: errTasksDown}, errTasksDown.Error()},
	{"fails after it landed", taskstest.Fault{After: errTasksDown}, errTasksDown.Error()},
	{"hangs", taskstest.Fault{Hang: true}, "context"},
}

// Each method of the task store that accepting, doing and following a task calls × each way to fail
// × each scenario: somebody is told, clients go on, and what was accepted is done, if not now then
// by the next Run.
func TestNoFaultOfTheTasksLosesAcceptedWork(t *testing.T) {
	faulty(t, len(taskFaults), func(t *testing.T, st *stage) int {
		flaky := taskstest.NewFlaky(tasks.NewMemory(tasks.MemoryOptions{}), nil)
		_, err := st.force(t, st.provider(t, st.repo), func(c *tufupdate.Config) { c.Tasks = flaky })
		require.NoError(t, err)
		return len(verbs(flaky))
	}, func(t *testing.T, st *stage, kind, n int) {
		fault := taskFaults[kind]
		verb := []taskstest.Verb{taskstest.Add, taskstest.Get, taskstest.RunWork}[n-1]
		where := string(verb) + " " + fault.name
		before := files(t, st.repo)

		store := tasks.NewMemory(tasks.MemoryOptions{})
		flaky := taskstest.NewFlaky(store, func(c taskstest.Call) (f taskstest.Fault) {
			if c.Verb == verb {
				f = fault.fault
			}
			return f
		})
		err := st.follow(t, flaky)
		assert.ErrorContains(t, err, fault.says, where)
		sameVersionsSameBytes(t, st.repo, before, files(t, st.repo), where)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		healthy := newUpdater(t, st.repo, st.provider(t, st.repo), func(c *tufupdate.Config) { c.Tasks = store })
		defer run(t, healthy)()
		for _, c := range flaky.Calls() {
			if c.Verb != taskstest.Add || verb == taskstest.Add && fault.fault.After == nil {
				continue
			}
			task, err := healthy.Wait(ctx, c.ID)
			require.NoError(t, err, "%s: the task was accepted", where)
			require.Equal(t, tasks.StateSuccess, task.State, "%s: %s", where, task.Result.Error)
			st.published(t, task.Result.Versions, where)
		}
		st.rollAgain(t, files(t, st.repo), where)
	})
}

// follow asks for the stage's roles, does the work and waits for it, and returns what anybody is
// told of failures.
func (st *stage) follow(t *testing.T, store tasks.Store) error {
	u := newUpdater(t, st.repo, st.provider(t, st.repo), func(c *tufupdate.Config) { c.Tasks = store })
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	synctest.Wait()
	accepted, err := u.ForceOnline(ctx, st.repo.App, st.roles())
	if err == nil {
		_, err = u.Wait(ctx, accepted.ID)
	}
	cancel()
	return errors.Join(err, <-done)
}

// verbs returns which methods have been called.
func verbs(flaky *taskstest.Flaky) []taskstest.Verb {
	var verbs []taskstest.Verb
	for _, c := range flaky.Calls() {
		verbs = append(verbs, c.Verb)
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

// A task whose worker is lost when all was published is done again.
func TestWorkIsSafeToRepeat(t *testing.T) {
	for _, s := range pairwise(allScenarios()) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			base := s.set(t)
			synctest.Test(t, func(t *testing.T) {
				st := base.copy(t)
				task, err := st.force(t, st.provider(t, st.repo), func(c *tufupdate.Config) {
					c.Tasks = twice{tasks.NewMemory(tasks.MemoryOptions{})}
				})
				require.NoError(t, err)
				require.Equal(t, tasks.StateSuccess, task.State, task.Result.Error)
				st.published(t, task.Result.Versions, "the second time")
			})
		})
	}
}

// twice is a task store that has each task done twice.
type twice struct{ tasks.Store }

func (s twice) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	return s.Store.Run(ctx, func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
		first, err := work(ctx, t)
		if err != nil {
			return first, err
		}
		time.Sleep(time.Second) // or the same bytes are signed again
		second, err := work(ctx, t)
		if err == nil && second.Versions["timestamp"] <= first.Versions["timestamp"] {
			err = errors.New("the second time, versions did not grow")
		}
		return second, err
	})
}
