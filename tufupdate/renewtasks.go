package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
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

// The groups of roles that have tasks of their own. At first there is one task for all.
const (
	allRoles       = "all"
	topRoles       = "top"
	delegatedRoles = "delegated"
)

// add adds tasks for roles that are due, unless they are under way. At first that is one task,
// whose ID follows from the published timestamp, so all processes with one task store agree on it.
// As soon as an attempt at it has failed, top-level and delegated roles have tasks of their own:
// one group does not wait for the other. After a task has failed, each round adds another.
//
// add makes a few calls of the task store, however often a task has failed. Troubles say why tasks
// have.
func (r *renewer) add(ctx context.Context, app string, a *attention, timestamp [sha256.Size]byte, roles []string,
) (added bool, troubles []Trouble, err error) {
	series := fmt.Sprintf("%s %x", app, timestamp)
	if len(a.tasks) == 0 {
		id := uuid.NewSHA1(renewals(), []byte(series)).String()
		added, err := r.addOne(ctx, app, id, roles)
		if err == nil {
			a.tasks = map[string]string{allRoles: id}
		}
		if added || err != nil {
			return added, nil, err
		}
	}
	split := groups(roles)
	underWay, failed, err := r.state(ctx, app, a.tasks[allRoles])
	if err != nil || underWay && (failed == nil || len(split) == 1) {
		return false, failed, err
	}
	round := time.Now().UnixNano() / int64(r.renew.Every)
	for _, group := range slices.Sorted(maps.Keys(split)) {
		if id := a.tasks[group]; id != "" {
			underWay, t, err := r.state(ctx, app, id)
			if err != nil {
				return added, troubles, err
			}
			failed, troubles = nil, append(troubles, t...)
			if underWay {
				continue
			}
		}
		id := uuid.NewSHA1(renewals(), fmt.Appendf(nil, "%s %d %s", series, round, group)).String()
		addedNow, err := r.addOne(ctx, app, id, split[group])
		if err != nil {
			return added, troubles, err
		}
		a.tasks[group], added = id, added || addedNow
	}
	return added, append(troubles, failed...), nil
}

// groups returns roles by their group.
func groups(roles []string) map[string][]string {
	all := map[string][]string{}
	for _, role := range roles {
		group := topRoles
		if published.IsDelegated(role) {
			group = delegatedRoles
		}
		all[group] = append(all[group], role)
	}
	return all
}

// state reports whether a task is under way, and why it has failed so far. A task that has
// succeeded has replaced what was published when it was added. If that is there still, the task has
// ended just now, or the store was put back.
func (r *renewer) state(ctx context.Context, app, id string) (underWay bool, failed []Trouble, err error) {
	t, err := r.u.config.Tasks.Get(ctx, id)
	if errors.Is(err, tasks.ErrNotFound) { // past its retention
		return false, nil, nil
	}
	if err != nil {
		return false, nil, errorf(app, "looking for the task "+id, err)
	}
	if t.Result.Error != "" {
		failed = []Trouble{failure(t)}
	}
	justNow := t.State == tasks.StateSuccess && time.Since(t.Updated) < r.renew.Every
	return !t.State.Ended() || justNow, failed, nil
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

// failure says why a task for roles that are due has failed. Those of one that has all kinds are
// the app's.
func failure(t tasks.Task) Trouble {
	trouble := Trouble{Code: t.Result.Code, Who: actorOf(t.Result.Code), Why: t.Result.Error}
	if !slices.ContainsFunc(t.Roles, func(role string) bool { return !published.IsDelegated(role) }) {
		trouble.Role = t.Roles[0]
	}
	trouble.Text = fmt.Sprintf("%s cannot be renewed (%s)", strings.Join(t.Roles, ", "), t.Result.Code)
	if trouble.Who != ActorUpdater {
		trouble.Text += ": " + t.Result.Error
	}
	return trouble
}
