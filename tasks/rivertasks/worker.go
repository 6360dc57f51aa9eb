package rivertasks

import (
	"context"
	"errors"
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

	mu    sync.Mutex
	apps  map[string]int // how many tasks of each app are worked now
	calls int            // of Work that have not returned
	none  chan struct{}  // closed when calls falls to zero
}

func newWorker(o Options, settler func(context.Context, Outcome) (bool, error),
	work func(context.Context, tasks.Task) (tasks.Result, error),
) *worker {
	return &worker{
		work: work, settler: settler, limit: o.workLimit(), margin: o.margin(), share: max(1, o.Workers/2), log: o.Logger,
		apps: map[string]int{}, none: make(chan struct{}),
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

// begin counts a call of Work until done is called.
func (w *worker) begin() (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.calls--; w.calls == 0 {
			close(w.none)
			w.none = make(chan struct{})
		}
	}
}

// idle waits until no call of Work is under way. River counts jobs and not calls: when a process
// works two attempts at one task, River forgets the second one at the end of the first.
func (w *worker) idle(ctx context.Context) error {
	for {
		w.mu.Lock()
		calls, none := w.calls, w.none
		w.mu.Unlock()
		if calls == 0 {
			return nil
		}
		select {
		case <-none:
		case <-ctx.Done():
			return fmt.Errorf("%d attempts are still worked: %w", calls, context.Cause(ctx))
		}
	}
}

// Work implements river.Worker. It writes the outcome itself, so that River has nothing to write.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	defer w.begin()()
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
//
// One case is left: if a person cancels a job while an attempt stalls, and retries it, River writes
// the cancel when the stalled attempt ends, though another one is running.
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
	left := w.left(*row.AttemptedAt)
	if left <= 0 {
		late := errors.New("the attempt began too late: its process was stopped, or its clock is not the database's")
		return outcomeOf(ctx, row, tasks.Result{}, tasks.Temporary(late))
	}
	if !w.enter(t.App) {
		return postponed(row, snooze/2+rand.N(snooze)), nil
	}
	defer w.leave(t.App)
	result, err := w.do(ctx, left, t)
	return outcomeOf(ctx, row, result, err)
}

// plausible is the most that an attempt can be late. If the row says more, a clock is wrong.
const plausible = 24 * time.Hour

// left returns how long an attempt may work that the database has counted since begun.
func (w *worker) left(begun time.Time) time.Duration {
	since := time.Since(begun)
	if since < 0 || since > plausible { // by a clock that is not this machine's
		since = 0
	}
	return w.limit - since
}

// do calls work. It returns a panic as an error, and so it does if work ends its goroutine: River
// would wait for that one for ever.
func (w *worker) do(ctx context.Context, left time.Duration, t tasks.Task) (tasks.Result, error) {
	late := fmt.Errorf("a task may take %v: %w", w.limit, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, left, late)
	defer cancel()
	result, err := tasks.Result{}, tasks.WithCode(errors.New("work ended without a result"), tasks.CodePanic)
	var working sync.WaitGroup
	working.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				err = tasks.WithCode(fmt.Errorf("panic: %v", p), tasks.CodePanic)
			}
		}()
		result, err = w.work(ctx, t)
	})
	working.Wait()
	return result, err
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
