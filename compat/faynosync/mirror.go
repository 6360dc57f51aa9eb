package faynosync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/internal/taskresult"
	"github.com/tufonline/tufonline/tasks"
)

// A Mirror is a task store that shows another one's tasks in Redis, as task:<id>, where faynoSync's
// own task endpoint finds them: JSON with state and result. They stay there for tasks.Retention
// after their last change.
//
// The task store is what counts: where Redis cannot be written, that is logged and nothing fails,
// though each record that a Redis hangs on takes five seconds. A record may be ahead of the task
// store for a moment; one whose worker died says STARTED until another takes over, and for good if
// none may, since the task was begun as often as it is at most.
type Mirror struct {
	tasks.Store
	client redis.Cmdable
	log    *slog.Logger
}

var _ tasks.Store = (*Mirror)(nil)

// NewMirror returns a Mirror of store.
func NewMirror(store tasks.Store, client redis.Cmdable, log *slog.Logger) *Mirror {
	return &Mirror{store, client, log}
}

// Add implements tasks.Store.
func (m *Mirror) Add(ctx context.Context, t tasks.Task) error {
	if err := m.Store.Add(ctx, t); err != nil {
		return err
	}
	m.write(ctx, tasks.Task{ID: t.ID, State: tasks.StatePending}, "NX") // a worker may have said more already
	return nil
}

// Run implements tasks.Store.
func (m *Mirror) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	return m.Store.Run(ctx, func(ctx context.Context, t tasks.Task) (result tasks.Result, err error) {
		m.write(ctx, t, "")
		defer func() {
			p := recover()
			if p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			m.write(ctx, ended(t, result, err), "")
			if p != nil {
				panic(p) // for the store to deal with
			}
		}()
		return work(ctx, t)
	})
}

// ended returns a task as its store will have it after an attempt.
func ended(t tasks.Task, result tasks.Result, err error) tasks.Task {
	t.State, t.Updated, t.Result = tasks.StateSuccess, time.Now(), result
	t.Result.Error = ""
	if err != nil {
		t.State, t.Result = tasks.StateFailure, tasks.Result{Error: err.Error()}
		if tasks.IsTemporary(err) && t.Attempt < t.MaxAttempts {
			t.State = tasks.StatePending
		}
	}
	return t
}

// A record is the value of task:<id>.
type record struct {
	State  tasks.State        `json:"state"`
	Result *taskresult.Result `json:"result,omitempty"`
}

func (m *Mirror) write(ctx context.Context, t tasks.Task, mode string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	data, err := json.Marshal(record{t.State, taskresult.Of(t)})
	if err == nil {
		err = m.client.SetArgs(ctx, "task:"+t.ID, data, redis.SetArgs{Mode: mode, TTL: tasks.Retention}).Err()
	}
	if err != nil && !errors.Is(err, redis.Nil) { // which SET with NX says of a key that is there
		m.log.WarnContext(ctx, "a task's record in Redis could not be written", "task", t.ID, "state", t.State, "error", err)
	}
}
