package rivertasks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
)

// A worker is a river.Worker that calls the work of a Run.
type worker struct {
	river.WorkerDefaults[job]
	work  func(context.Context, tasks.Task) (tasks.Result, error)
	limit time.Duration // how long work may take
	share int           // how many tasks of one app are worked at once

	mu   sync.Mutex
	apps map[string]int // how many tasks of each app are worked now
}

func newWorker(o Options, work func(context.Context, tasks.Task) (tasks.Result, error)) *worker {
	return &worker{work: work, limit: o.workLimit(), share: max(1, o.Workers/2), apps: map[string]int{}}
}

// enter reports whether a task of an app may be worked now. If it may, the caller calls leave
// afterwards. The limit keeps an app whose store or keys hang from taking all workers.
func (w *worker) enter(app string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.apps[app] >= w.share {
		return false
	}
	w.apps[app]++
	return true
}

func (w *worker) leave(app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.apps[app]--; w.apps[app] == 0 {
		delete(w.apps, app)
	}
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	t, err := taskOf(j.JobRow)
	if err != nil {
		return river.JobCancel(err)
	}
	if !w.enter(t.App) {
		return river.JobSnooze(snooze/2 + rand.N(snooze)) // River counts no attempt
	}
	defer w.leave(t.App)
	result, err := w.do(ctx, t)
	result.Error, result.Code = "", ""
	if err != nil {
		result = tasks.Result{Error: err.Error(), Code: tasks.CodeOf(err)}
	}
	if err := river.RecordOutput(ctx, jsonform.Attempt{Number: t.Attempt, Result: jsonform.Result(result)}); err != nil {
		return river.JobCancel(fmt.Errorf("recording the result: %w", err))
	}
	if err != nil && !tasks.IsTemporary(err) {
		return river.JobCancel(err)
	}
	return err
}

// do calls work. It returns a panic as an error.
func (w *worker) do(ctx context.Context, t tasks.Task) (result tasks.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = tasks.WithCode(fmt.Errorf("panic: %v", p), tasks.CodePanic)
		}
	}()
	late := fmt.Errorf("a task may take %v: %w", w.limit, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, w.limit, late)
	defer cancel()
	return w.work(ctx, t)
}

// snooze is the mean pause of a task while its app has its share of the workers.
const snooze = time.Second
