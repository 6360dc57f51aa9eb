package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// An Updater keeps the online roles of repositories signed. Its methods may be called from many
// goroutines at once. Any number of Updaters, in any number of processes, may work on one store.
type Updater struct {
	config   Config
	store    storage.Store // retried
	log      *slog.Logger
	memory   *repofiles.Memory // cached files
	record   *repofiles.Record // what was published
	combiner *combiner
	renewer  *renewer // nil without Config.Renew
	health   *health
	rolls    rolls
	panics   *panics
	ran      atomic.Bool // Run has been called
	forgot   sync.Once   // to warn if it is not

	adding   sync.RWMutex // held for reading while a task is added
	stopping atomic.Bool  // Run is ending or has ended
}

// New returns an Updater. It starts nothing and reads nothing; tasks are worked while [Updater.Run]
// runs.
func New(config Config) (*Updater, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	panics := &panics{log: config.Logger}
	config = config.guard(panics)
	u := &Updater{
		config: config, panics: panics, store: repofiles.Retry(config.Store), log: config.Logger,
		memory: repofiles.NewMemory(config.CacheSize), record: repofiles.NewRecord(config.Memory),
	}
	u.combiner = &combiner{timeout: config.RollTimeout, next: map[string]*batch{}}
	u.combiner.roll = func(ctx context.Context, app string, roles []string) (tasks.Result, error) {
		result, err := guarded(u.panics, func() (tasks.Result, error) { return u.roll(ctx, app, roles) })
		u.rolls.note(app, err)
		if err == nil && u.renewer != nil {
			u.renewer.published(app)
		}
		return result, err
	}
	every := defaultEvery
	if config.Renew != nil {
		every = config.Renew.Every
		u.renewer = newRenewer(u, *config.Renew)
	}
	u.health = newHealth(u.log, patience*every)
	return u, nil
}

// ForceOnline accepts a request to sign and publish new versions of an app's online roles. It
// returns at once with the pending task.
//
// Roles are timestamp, snapshot, targets, and delegated roles at any depth by name. A prefix of
// bins names all of them. A targets role brings the snapshot, and the snapshot brings the
// timestamp. No roles at all means timestamp and snapshot, and targets if it is online.
//
// ForceOnline returns these errors, to be tested with errors.Is:
//
//   - ErrInvalidApp, ErrUnknownRole, ErrRootRole for names that cannot be rolled;
//   - ErrNotBootstrapped, ErrRootExpired, or a *VerificationError, for an app that is not ready;
//   - ErrTargetsOffline, ErrNoKey for roles whose keys are not available;
//   - tasks.ErrFull, ErrStopped if no more work is accepted.
//
// Any other error means that the request could not be checked. The caller may repeat it.
func (u *Updater) ForceOnline(ctx context.Context, app string, roles []string) (tasks.Task, error) {
	if u.stopping.Load() {
		return tasks.Task{}, ErrStopped
	}
	roles, err := u.accept(ctx, app, roles)
	if err != nil {
		return tasks.Task{}, err
	}
	u.adding.RLock() // Run works what was added before it ends
	defer u.adding.RUnlock()
	if u.stopping.Load() {
		return tasks.Task{}, ErrStopped
	}
	id := uuid.NewString()
	if err := u.config.Tasks.Add(ctx, tasks.Task{ID: id, App: app, Roles: roles}); err != nil {
		return tasks.Task{}, errorf(app, "accepting a task", err)
	}
	u.log.DebugContext(ctx, "task accepted", "app", app, "task", id, "roles", roles)
	if !u.config.AcceptOnly && !u.ran.Load() {
		u.forgot.Do(func() { time.AfterFunc(runPatience, u.warnRun) })
	}
	now := time.Now()
	return tasks.Task{ID: id, App: app, Roles: roles, State: tasks.StatePending, Created: now, Updated: now}, nil
}

// runPatience is how long after the first task Run may be called.
const runPatience = time.Minute

func (u *Updater) warnRun() {
	if !u.ran.Load() {
		u.log.Error("tasks were accepted and Run has not been called: nothing works them (if another process does, " +
			"set Config.AcceptOnly)")
	}
}

// Roll signs and publishes new versions before it returns. It takes the roles that
// [Updater.ForceOnline] takes, and returns the same errors, ErrConflict if other writers won every
// time, and errors of the store and of the key provider. After an error of the store in the last
// step, the timestamp's, the release may have been published all the same.
//
// Rolls of one app are combined, so a result may name more roles than the caller asked for. Two
// processes that sign the very same bytes within one second share a release.
func (u *Updater) Roll(ctx context.Context, app string, roles []string) (tasks.Result, error) {
	if err := checkNames(app, roles); err != nil {
		return tasks.Result{}, err
	}
	return u.combiner.do(ctx, app, published.Unique(roles), false)
}

// Task returns a task that was accepted; tasks.ErrNotFound if there is none.
func (u *Updater) Task(ctx context.Context, id string) (tasks.Task, error) {
	return u.config.Tasks.Get(ctx, id)
}

// Wait returns a task once it has ended. The error is tasks.ErrNotFound if there is no such task.
// While the task store fails, Wait asks again until ctx ends, and then returns both errors.
func (u *Updater) Wait(ctx context.Context, id string) (tasks.Task, error) {
	const longest = time.Second
	for interval := 5 * time.Millisecond; ; interval = min(2*interval, longest) {
		t, err := u.Task(ctx, id)
		if errors.Is(err, tasks.ErrNotFound) || err == nil && t.State.Ended() {
			return t, err
		}
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if err != nil && !errors.Is(err, context.Cause(ctx)) {
				return tasks.Task{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			return tasks.Task{}, context.Cause(ctx)
		}
	}
}

// Run works accepted tasks and, with Config.Renew, renews roles, until ctx ends. Then ForceOnline
// accepts no more, work that was begun is finished, and Run returns.
//
// The task store tries failed work again, where it does that at all, unless another attempt would
// fail in the same way. Missing keys and failed verification are such permanent errors.
//
// An Updater runs once. While it runs, a second call returns ErrRunning; afterwards, ErrStopped.
func (u *Updater) Run(ctx context.Context) error {
	if !u.ran.CompareAndSwap(false, true) {
		if u.stopping.Load() {
			return ErrStopped
		}
		return ErrRunning
	}
	defer u.stop() // also if the task store stopped by itself
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	defer context.AfterFunc(ctx, func() {
		u.stop() // a task is added before the work stops, or not at all
		stopWork()
	})()
	renew, stopRenewing := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	if u.renewer != nil {
		renewing.Go(func() { u.renewer.run(renew) })
	}
	defer renewing.Wait()
	defer stopRenewing()
	return u.config.Tasks.Run(work, u.work)
}

// stop has the Updater accept no more tasks. It waits for those that are being added.
func (u *Updater) stop() {
	u.adding.Lock()
	defer u.adding.Unlock()
	u.stopping.Store(true)
}

// work does a task.
func (u *Updater) work(ctx context.Context, t tasks.Task) (tasks.Result, error) {
	log := u.log.With("app", t.App, "task", t.ID)
	log.DebugContext(ctx, "task started", "roles", t.Roles, "attempt", t.Attempt)
	result, err := u.combiner.do(ctx, t.App, t.Roles, t.Attempt > 1)
	if err == nil {
		return result, nil
	}
	kind := kindOf(err)
	err = tasks.WithCode(err, kind.code)
	if !kind.permanent {
		err = tasks.Temporary(err)
	}
	level, again := slog.LevelWarn, !kind.permanent && t.Attempt < t.MaxAttempts
	if again && t.Attempt > 1 || u.rolls.many() { // that is known
		level = slog.LevelDebug
	}
	attrs := []any{"roles", t.Roles, "error", err, "code", kind.code, "attempt", t.Attempt}
	if again {
		attrs = append(attrs, "again", time.Now().Add(tasks.Pause(t.Attempt)).Round(time.Second)) // about then
	}
	log.Log(ctx, level, "task failed", attrs...)
	return tasks.Result{}, err
}
