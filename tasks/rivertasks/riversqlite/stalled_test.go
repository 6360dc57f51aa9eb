package riversqlite_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// An ending is how work returns. Its name is in the result.
type ending struct {
	name  string
	state tasks.State // of the task, if the ending counts
}

func endings() []ending {
	return []ending{
		{"success", tasks.StateSuccess}, {"permanent", tasks.StateFailure}, {"temporary", tasks.StatePending},
		{"panic", tasks.StateFailure},
	}
}

// end returns as the ending says, with the number of the attempt.
func (e ending) end(attempt int) (tasks.Result, error) {
	by := e.name + " of attempt " + string(rune('0'+attempt))
	switch e.name {
	case "success":
		return tasks.Result{Warnings: []string{by}}, nil
	case "panic":
		panic(by)
	case "temporary":
		return tasks.Result{}, tasks.Temporary(errors.New(by))
	default:
		return tasks.Result{}, errors.New(by)
	}
}

// A stage is one task and two processes. Attempts begin and end when the test says so.
type stage struct {
	path   string
	stores [2]*rivertasks.Store
	id     string
	begun  chan int
	over   <-chan struct{} // the test is
	end    [4]chan ending  // by attempt
}

// newStage returns a stage whose first attempt is stalled in the first process.
func newStage(t *testing.T) *stage {
	s := &stage{path: newPath(t), begun: make(chan int, 10), over: t.Context().Done()}
	for i := range s.end {
		s.end[i] = make(chan ending)
	}
	for i := range s.stores {
		// The only worker of a process is taken while an attempt is stalled.
		s.stores[i] = open(t, s.path, rivertasks.Options{Workers: 1})
	}
	run(t, s.stores[0], s.work)
	s.id = add(t, s.stores[0])
	require.Equal(t, 1, <-s.begun)
	return s
}

func (s *stage) work(_ context.Context, task tasks.Task) (tasks.Result, error) {
	s.begun <- task.Attempt
	select {
	case e := <-s.end[task.Attempt]:
		return e.end(task.Attempt)
	case <-s.over:
		return tasks.Result{}, nil
	}
}

// rescue does what River's rescuer does every 30 seconds. The next attempt begins when it may.
func (s *stage) rescue(t *testing.T, mayBegin bool) {
	pause := "+1 hour"
	if mayBegin {
		pause = "-1 second"
	}
	statement(t, s.path, `UPDATE river_job SET state = 'available', scheduled_at = datetime('now', 'subsec', ?),
		errors = jsonb_insert(coalesce(errors, jsonb('[]')), '$[#]', jsonb_object('at', '2026-01-01T00:00:00Z', 'attempt',
			attempt, 'error', 'Stuck job rescued by JobRescuer', 'trace', ''))
		WHERE state = 'running'`, pause)
}

func (s *stage) get(t *testing.T) tasks.Task {
	t.Helper()
	got, err := s.stores[1].Get(t.Context(), s.id)
	require.NoError(t, err)
	return got
}

// awaitIdle waits until the first process has written what the stalled attempt came to. Then it can
// work the next task.
func (s *stage) awaitIdle(t *testing.T) {
	other := add(t, s.stores[0])
	require.Equal(t, 1, <-s.begun)
	s.end[1] <- ending{name: "success"}
	await(t, s.stores[0], other, patience)
}

func says(task tasks.Task) string { return task.Result.Error + strings.Join(task.Result.Warnings, "") }

func TestAStalledAttemptEndsItsTaskIfNoOtherHasBegun(t *testing.T) {
	for _, rescued := range []bool{false, true} {
		for _, e := range endings() {
			name := e.name + " before the rescue"
			if rescued {
				name = e.name + " after the rescue"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				if rescued {
					s.rescue(t, false)
				}
				s.end[1] <- e
				if e.state.Ended() {
					got := await(t, s.stores[1], s.id, patience)
					assert.Equal(t, e.state, got.State)
					assert.Contains(t, says(got), e.name+" of attempt 1")
					assert.Equal(t, 1, got.Attempt)
					return
				}
				require.Equal(t, 2, <-s.begun)
				assert.Contains(t, says(s.get(t)), e.name+" of attempt 1")
				s.end[2] <- ending{name: "success"}
				assert.Equal(t, "success of attempt 2", says(await(t, s.stores[1], s.id, patience)))
			})
		}
	}
}

func TestAStalledAttemptChangesNothingForALaterOne(t *testing.T) {
	for _, e := range endings() {
		t.Run(e.name+" while another attempt runs", func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			run(t, s.stores[1], s.work)
			s.rescue(t, true)
			require.Equal(t, 2, <-s.begun)
			before := s.get(t)
			require.Equal(t, tasks.StateStarted, before.State)
			s.end[1] <- e
			s.awaitIdle(t)
			assert.Equal(t, before, s.get(t))
			s.end[2] <- ending{name: "success"}
			got := await(t, s.stores[1], s.id, patience)
			assert.Equal(t, tasks.StateSuccess, got.State)
			assert.Equal(t, "success of attempt 2", says(got))
			assert.Equal(t, 2, got.Attempt, "no third attempt has begun")
			assert.Equal(t, []string{"1"}, statement(t, s.path,
				`SELECT json_array_length(json(errors)) FROM river_job WHERE json_extract(args, '$.id') = ?`, s.id), "the rescue")
		})
		t.Run(e.name+" while the task waits for a third attempt", func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			run(t, s.stores[1], s.work)
			s.rescue(t, true)
			require.Equal(t, 2, <-s.begun)
			s.end[2] <- ending{name: "temporary"}
			require.Eventually(t, func() bool { return says(s.get(t)) == "temporary of attempt 2" }, patience, time.Millisecond)
			s.end[1] <- e
			require.Equal(t, 3, <-s.begun)
			s.end[3] <- ending{name: "success"}
			got := await(t, s.stores[1], s.id, patience)
			assert.Equal(t, tasks.StateSuccess, got.State)
			assert.Equal(t, "success of attempt 3", says(got))
		})
		for _, second := range endings() {
			if !second.state.Ended() {
				continue
			}
			t.Run(e.name+" after "+second.name, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				run(t, s.stores[1], s.work)
				s.rescue(t, true)
				require.Equal(t, 2, <-s.begun)
				s.end[2] <- second
				before := await(t, s.stores[1], s.id, patience)
				assert.Equal(t, second.state, before.State)
				assert.Contains(t, says(before), second.name+" of attempt 2")
				s.end[1] <- e
				s.awaitIdle(t)
				assert.Equal(t, before, s.get(t))
			})
		}
	}
}

// One process may work two attempts at a task, when the first has stalled.
func TestRunWaitsForBothAttemptsAtATask(t *testing.T) {
	t.Parallel()
	s := &stage{path: newPath(t), begun: make(chan int, 10), over: t.Context().Done()}
	for i := range s.end {
		s.end[i] = make(chan ending)
	}
	s.stores[0] = open(t, s.path, rivertasks.Options{Workers: 4})
	s.stores[1] = s.stores[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := make(chan error, 1)
	go func() { running <- s.stores[0].Run(ctx, s.work) }()
	s.id = add(t, s.stores[0])
	require.Equal(t, 1, <-s.begun)
	s.rescue(t, true)
	require.Equal(t, 2, <-s.begun)
	s.end[1] <- ending{name: "success"}
	s.awaitIdle(t)
	cancel()
	select {
	case err := <-running:
		require.FailNow(t, "Run did not wait", "it returned %v", err)
	case <-time.After(time.Second):
	}
	s.end[2] <- ending{name: "success"}
	require.NoError(t, <-running)
	assert.Equal(t, "success of attempt 2", says(s.get(t)))
}

// The last attempt has no other after it.
func TestATaskThatLostTheWorkerOfItsLastAttemptHasFailed(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{Rescue: 10 * time.Second, MaxAttempts: 1})
	id := add(t, s)
	statement(t, path, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = datetime('now', '-1 minute')`)
	run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil })
	got := await(t, s, id, 2*time.Minute) // River looks for such tasks every 30 seconds
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Equal(t, tasks.CodeLost, got.Result.Code)
	assert.Contains(t, got.Result.Error, "rescued")
}

// Texts of errors come from stores and documents.
func TestATextMayHoldAnyCharacter(t *testing.T) {
	s := open(t, newPath(t), rivertasks.Options{})
	run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) {
		return tasks.Result{}, errors.New("role \"a\x00\\u0000é\xff\"")
	})
	got := await(t, s, add(t, s), patience)
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Contains(t, got.Result.Error, `role "a`)
}
