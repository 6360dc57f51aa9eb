package faynosync

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
)

// A Mirror is a task store that also writes the tasks of another store to Redis. The key is
// task:<id>, where faynoSync's own task endpoint reads it. The value is JSON with state and result.
// It stays for tasks.Retention after its last change.
//
// The other store is authoritative. If a record cannot be written, the Mirror logs that and fails
// nothing. A Redis that hangs delays each record by five seconds.
//
// A record may be ahead of the store for a moment. If a worker dies, the record says STARTED until
// another worker takes over. After the last attempt no worker does, and the record stays as it is.
type Mirror struct {
	tasks.Store
	client redis.Cmdable
	log    *slog.Logger
}

// MirrorOptions are optional.
type MirrorOptions struct {
	// Logger gets a warning for each record that could not be written. If nil, nothing is logged.
	Logger *slog.Logger
}

var _ tasks.Store = (*Mirror)(nil)

// NewMirror returns a Mirror of store.
func NewMirror(store tasks.Store, client redis.Cmdable, opts MirrorOptions) *Mirror {
	return &Mirror{store, client, cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))}
}

// Unwrap returns the other store.
func (m *Mirror) Unwrap() tasks.Store { return m.Store }

// Add implements tasks.Store.
func (m *Mirror) Add(ctx context.Context, t tasks.Task) error {
	if err := m.Store.Add(ctx, t); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	m.write(ctx, tasks.Task{ID: t.ID, State: tasks.StatePending}, "NX") // a worker may have written the record already
	return nil
}

// Run implements tasks.Store.
func (m *Mirror) Run(ctx context.Context, work func(context.Context, tasks.Task) (tasks.Result, error)) error {
	return m.Store.Run(ctx, func(ctx context.Context, t tasks.Task) (result tasks.Result, err error) {
		m.report(ctx, t)
		result, err = tasks.Result{}, tasks.WithCode(errors.New("work ended without a result"), tasks.CodePanic) // Goexit
		defer func() {
			p := recover()
			if p != nil {
				err = tasks.WithCode(fmt.Errorf("panic: %v", p), tasks.CodePanic)
			}
			m.report(ctx, ended(t, result, err))
			if p != nil {
				panic(p) // the store handles it
			}
		}()
		return work(ctx, t)
	})
}

// ended returns a task as its store will have it after this attempt.
func ended(t tasks.Task, result tasks.Result, err error) tasks.Task {
	t.State, t.Updated, t.Result = tasks.StateSuccess, time.Now(), result
	t.Result.Error, t.Result.Code = "", ""
	if err != nil {
		t.State, t.Result = tasks.StateFailure, tasks.Result{Error: err.Error(), Code: tasks.CodeOf(err)}
		if tasks.IsTemporary(err) && t.Attempt < t.MaxAttempts {
			t.State = tasks.StatePending
		}
	}
	return t
}

// report writes the record of a task at an attempt. A worker that stalled finds another attempt, or
// an ended task, in the store. The record is the store's then. One deadline is for the question and
// the record: a worker that stalls between them writes nothing.
func (m *Mirror) report(ctx context.Context, t tasks.Task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	asking, stop := context.WithTimeout(ctx, patience/2) // a silent store leaves time for the record
	defer stop()
	if kept, err := m.Get(asking, t.ID); err == nil && (kept.Attempt != t.Attempt || kept.State.Ended()) {
		t = kept
	}
	m.write(ctx, t, "")
}

// write writes the record of a task until ctx ends. mode is Redis's NX or empty.
func (m *Mirror) write(ctx context.Context, t tasks.Task, mode string) {
	data, err := json.Marshal(jsonform.RecordOf(t))
	if err == nil {
		err = m.client.SetArgs(ctx, "task:"+t.ID, data, redis.SetArgs{Mode: mode, TTL: tasks.Retention}).Err()
	}
	if err != nil && !errors.Is(err, redis.Nil) { // the answer to NX if the key exists
		m.log.WarnContext(ctx, "writing a task's record to Redis failed", "task", t.ID, "state", t.State, "error", err)
	}
}
