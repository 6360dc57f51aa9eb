package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/tasks"
)

// renewals is the name space of the IDs of the renewal's tasks.
func renewals() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/tufonline/tufonline#renewal"))
}

// add adds a task for roles that are due, unless there is one. Its ID follows from the published
// timestamp, so all replicas with one task store agree on it. If the task has failed, top-level and
// delegated roles get a task each: a delegated role's trouble does not hold up the others.
func (r *renewer) add(ctx context.Context, app string, timestamp [sha256.Size]byte, roles []string) (added bool,
	problem error) {
	added, failed, err := r.addOnce(ctx, app, fmt.Sprintf("%x", timestamp), roles)
	if err != nil || failed == nil {
		return added, err
	}
	top := slices.DeleteFunc(slices.Clone(roles), published.IsDelegated)
	delegated := slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return !published.IsDelegated(role) })
	for what, roles := range map[string][]string{"top": top, "delegated": delegated} {
		if len(roles) > 0 {
			addedNow, err := r.addAgain(ctx, app, fmt.Sprintf("%x %s", timestamp, what), roles)
			added, problem = added || addedNow, errors.Join(problem, err)
		}
	}
	return added, problem
}

// addAgain adds a task. Each time that it has failed, addAgain adds another one after a pause,
// which doubles.
func (r *renewer) addAgain(ctx context.Context, app, series string, roles []string) (added bool, problem error) {
	for try := 0; ; try++ {
		added, failed, err := r.addOnce(ctx, app, fmt.Sprintf("%s %d", series, try), roles)
		if err != nil || failed == nil {
			return added, err
		}
		pause := min(firstPauseOfTasks<<min(try, 10), longestPause)
		if time.Now().Before(failed.Updated.Add(pause)) {
			return false, errorf(app, "task "+failed.ID, errors.New(failed.Result.Error))
		}
	}
}

// addOnce adds a task whose ID follows from app and series, unless there is one. It returns that
// task if it has failed, or if it has succeeded and the store was put back since.
func (r *renewer) addOnce(ctx context.Context, app, series string, roles []string) (added bool, failed *tasks.Task,
	err error) {
	id := uuid.NewSHA1(renewals(), []byte(app+" "+series)).String()
	err = r.u.config.Tasks.Add(ctx, tasks.Task{ID: id, App: app, Roles: roles})
	if err == nil {
		r.u.log.InfoContext(ctx, "renewal: task added", "app", app, "task", id, "roles", roles)
		return true, nil, nil
	}
	if !errors.Is(err, tasks.ErrExists) {
		return false, nil, errorf(app, "adding a task", err)
	}
	task, err := r.u.config.Tasks.Get(ctx, id)
	if errors.Is(err, tasks.ErrNotFound) { // past its retention
		return false, &tasks.Task{ID: id, Result: tasks.Result{Error: "it ended long ago"}}, nil
	}
	if err != nil {
		return false, nil, errorf(app, "looking for the task "+id, err)
	}
	// A task that has succeeded has replaced what was published when it was added. If that is still
	// there, the task has ended just now, or the store was put back.
	putBack := task.State == tasks.StateSuccess && time.Since(task.Updated) > firstPauseOfTasks
	if task.State != tasks.StateFailure && !putBack {
		return false, nil, nil
	}
	return false, &task, nil
}

const firstPauseOfTasks = time.Minute // after a task has failed
