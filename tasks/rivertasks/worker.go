package rivertasks

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

// A worker is a river.Worker that calls the work of a Run.
type worker struct {
	river.WorkerDefaults[job]
	work    func(context.Context, tasks.Task) (tasks.Result, error)
	settler func(context.Context, Outcome) (settled bool, err error)
	limit   time.Duration // how long work may take
	margin  time.Duration // see Options
	share   int           // how many tasks of one app are worked at once
	log     *slog.Logger

	mu   sync.Mutex
	apps map[string]int // how many tasks of each app are worked now
}

func newWorker(o Options, settler func(context.Context, Outcome) (bool, error),
	work func(context.Context, tasks.Task) (tasks.Result, error),
) *worker {
	return &worker{
		work: work, settler: settler, limit: o.workLimit(), margin: o.margin(), share: max(1, o.Workers/2), log: o.Logger,
		apps: map[string]int{},
	}
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

// Work implements river.Worker. It writes the outcome itself, so that River has nothing to write.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	o, err := w.attempt(ctx, j.JobRow)
	if err != nil {
		return err
	}
	w.settle(ctx, o, j.Args)
	return settled{}
}

// settled is the error that has River write nothing about an attempt. River takes it for the errors
// of a batch of jobs, and there is none. To River, nil would mean that the attempt which is running
// has succeeded, and any other error that it has failed. That attempt may be another worker's.
type settled struct{}

func (settled) Error() string               { return "the outcome is written already" }
func (settled) Jobs() []*rivertype.JobRow   { return nil }
func (settled) ErrorsByID() map[int64]error { return nil }

// attempt works a task and returns what the attempt came to.
func (w *worker) attempt(ctx context.Context, row *rivertype.JobRow) (Outcome, error) {
	t, err := taskOf(row)
	if err != nil {
		return outcomeOf(ctx, row, tasks.Result{}, err)
	}
	if !w.enter(t.App) {
		return postponed(row, snooze/2+rand.N(snooze)), nil
	}
	defer w.leave(t.App)
	result, err := w.do(ctx, t)
	return outcomeOf(ctx, row, result, err)
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

const (
	settleTimeout      = 10 * time.Second // of one try
	firstSettlePause   = 100 * time.Millisecond
	longestSettlePause = 5 * time.Second
)

// settle writes an outcome. If that fails, it tries again until the task counts as lost, and for
// the margin at least. Then the task is worked again after its rescue.
func (w *worker) settle(ctx context.Context, o Outcome, args job) {
	until := time.Now().Add(w.margin)
	if lost, ok := ctx.Deadline(); ok && lost.After(until) { // River's JobTimeout
		until = lost
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	log := w.log.With("task", args.ID, "app", args.App, "attempt", o.Attempt)
	for pause := firstSettlePause; ; pause = min(2*pause, longestSettlePause) {
		own, err := w.settleOnce(ctx, o)
		if err == nil && !own && pause == firstSettlePause { // otherwise the first try may have succeeded
			log.WarnContext(ctx, "tasks: an attempt stalled, and its task went on without it; its outcome is not used")
		}
		if err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			log.WarnContext(ctx, "tasks: an outcome could not be stored; the task will be worked again", "error", err)
			return
		}
	}
}

func (w *worker) settleOnce(ctx context.Context, o Outcome) (own bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return w.settler(ctx, o)
}
