package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/tasks"
)

// renewals is the name space of the IDs of the renewal's tasks.
func renewals() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/tufonline/tufonline#renewal"))
}

// add adds a task for roles that are due, unless one is under way. The ID of the first follows from
// the published timestamp, so all processes with one task store agree on it. After a task has
// failed, each round adds another, whose ID follows from the round too. Then top-level and
// delegated roles get a task each: a delegated role's trouble does not hold up the others.
//
// add makes a few calls of the task store, however often a task has failed. A trouble says why one
// has.
func (r *renewer) add(ctx context.Context, app string, a *attention, timestamp [sha256.Size]byte, roles []string,
) (added bool, trouble *Trouble, err error) {
	series := fmt.Sprintf("%s %x", app, timestamp)
	if len(a.tasks) == 0 {
		id := uuid.NewSHA1(renewals(), []byte(series)).String()
		added, err := r.addOne(ctx, app, id, roles)
		if err != nil {
			return false, nil, err
		}
		a.tasks = []string{id}
		if added {
			return true, nil, nil
		}
	}
	underWay := false
	for _, id := range a.tasks {
		t, err := r.u.config.Tasks.Get(ctx, id)
		switch {
		case errors.Is(err, tasks.ErrNotFound): // past its retention
		case err != nil:
			return false, nil, errorf(app, "looking for the task "+id, err)
		default:
			// A task that has succeeded has replaced what was published when it was added. If that
			// is there still, the task has ended just now, or the store was put back.
			underWay = underWay || !t.State.Ended() || t.State == tasks.StateSuccess && time.Since(t.Updated) < r.renew.Every
			if t.Result.Error != "" && trouble == nil {
				trouble = failure(t)
			}
		}
	}
	if underWay {
		return false, trouble, nil
	}
	round := time.Now().UnixNano() / int64(r.renew.Every)
	top := slices.DeleteFunc(slices.Clone(roles), published.IsDelegated)
	delegated := slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return !published.IsDelegated(role) })
	a.tasks = nil
	for i, roles := range [][]string{top, delegated} {
		if len(roles) == 0 {
			continue
		}
		id := uuid.NewSHA1(renewals(), fmt.Appendf(nil, "%s %d %d", series, round, i)).String()
		addedNow, err := r.addOne(ctx, app, id, roles)
		if err != nil {
			return added, trouble, err
		}
		a.tasks, added = append(a.tasks, id), added || addedNow
	}
	return added, trouble, nil
}

// addOne adds a task, and reports false if there is one with its ID.
func (r *renewer) addOne(ctx context.Context, app, id string, roles []string) (added bool, err error) {
	err = r.u.config.Tasks.Add(ctx, tasks.Task{ID: id, App: app, Roles: roles})
	if errors.Is(err, tasks.ErrExists) {
		return false, nil
	}
	if err != nil {
		return false, errorf(app, "adding a task", err)
	}
	r.u.log.DebugContext(ctx, "renewal: task added", "app", app, "task", id, "roles", roles)
	return true, nil
}

// failure says why a task for roles that are due has failed.
func failure(t tasks.Task) *Trouble {
	return &Trouble{
		Role: "", Code: t.Result.Code, Who: actorOf(t.Result.Code),
		Text: fmt.Sprintf("%s cannot be renewed: %s", strings.Join(t.Roles, ", "), t.Result.Error),
	}
}
