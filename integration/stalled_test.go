package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// The first process stalls for longer than the rescue. River gives its tasks to the second one. The
// first one goes on while the second one works, or after it has ended the task.
func TestAStalledAttemptOnPostgresChangesNothingForALaterOne(t *testing.T) {
	db := pgserver.Start(t)
	endings := map[string]error{
		"success": nil, "temporary": tasks.Temporary(errors.New("of the stalled attempt")),
		"permanent": errors.New("of the stalled attempt"),
	}
	type place struct{ during, after string } // IDs of tasks
	stalled := map[string]error{}
	var ids []place
	for _, err := range endings {
		p := place{uuid.NewString(), uuid.NewString()}
		stalled[p.during], stalled[p.after] = err, err
		ids = append(ids, p)
	}
	// A process has no free worker while all its attempts wait.
	opts := rivertasks.Options{Workers: len(stalled), Rescue: 5 * time.Second}
	first, second := openTasks(t, db, opts), openTasks(t, db, opts)
	begun := make(chan struct{}, 100)
	goOn, finish := make(chan struct{}), make(chan struct{})
	run := func(s *rivertasks.Store, work func(tasks.Task) (tasks.Result, error)) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() {
			running <- s.Run(ctx, func(_ context.Context, task tasks.Task) (tasks.Result, error) { return work(task) })
		}()
		return func() {
			cancel()
			assert.NoError(t, <-running)
		}
	}
	stopFirst := run(first, func(task tasks.Task) (tasks.Result, error) {
		err, ok := stalled[task.ID]
		if ok {
			begun <- struct{}{}
			<-goOn
		}
		return tasks.Result{Warnings: []string{"first"}}, err
	})
	for id := range stalled {
		require.NoError(t, first.Add(t.Context(), tasks.Task{ID: id, App: id, Roles: []string{"timestamp"}}))
	}
	for range stalled {
		<-begun
	}
	during := map[string]bool{}
	for _, p := range ids {
		during[p.during] = true
	}
	stopSecond := run(second, func(task tasks.Task) (tasks.Result, error) {
		begun <- struct{}{}
		if during[task.ID] {
			<-finish
		}
		return tasks.Result{Warnings: []string{"second"}}, nil
	})
	for range stalled { // River looks for lost tasks every 30 seconds
		select {
		case <-begun:
		case <-time.After(2 * time.Minute):
			require.FailNow(t, "no second attempt begins")
		}
	}
	get := func(id string) tasks.Task {
		task, err := second.Get(t.Context(), id)
		require.NoError(t, err)
		return task
	}
	await := func(id string) tasks.Task {
		require.Eventually(t, func() bool { return get(id).State.Ended() }, patience, 10*time.Millisecond)
		return get(id)
	}
	before := map[string]tasks.Task{}
	for _, p := range ids {
		before[p.during], before[p.after] = get(p.during), await(p.after)
	}
	close(goOn)
	stopFirst()
	for id, task := range before {
		assert.Equal(t, task, get(id))
	}
	close(finish)
	for id := range stalled {
		got := await(id)
		assert.Equal(t, tasks.StateSuccess, got.State)
		assert.Equal(t, tasks.Result{Warnings: []string{"second"}}, got.Result)
		assert.Equal(t, 2, got.Attempt, "no third attempt has begun")
	}
	stopSecond()
}

// Postgres stores no NUL in JSON.
func TestATextOnPostgresMayHoldAnyCharacter(t *testing.T) {
	s := openTasks(t, pgserver.Start(t), rivertasks.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() {
		running <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) {
			return tasks.Result{}, errors.New("role \"a\x00\\u0000é\xff\"")
		})
	}()
	id := uuid.NewString()
	require.NoError(t, s.Add(t.Context(), tasks.Task{ID: id, App: "acme", Roles: []string{"timestamp"}}))
	require.Eventually(t, func() bool {
		task, err := s.Get(t.Context(), id)
		require.NoError(t, err)
		return task.State == tasks.StateFailure
	}, patience, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-running)
}
