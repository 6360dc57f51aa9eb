package tufupdate

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// An Updater keeps the online roles of repositories freshly signed. Its methods may be called from
// many goroutines at once. Any number of Updaters, in any number of processes, may work on one
// store.
type Updater struct {
	config   Config
	store    storage.Store
	log      *slog.Logger
	trust    *trust
	cache    *cache
	combiner *combiner
	renewer  *renewer // nil: nothing is renewed unasked
	stopping atomic.Bool
}

// New returns an Updater. It starts nothing and reads nothing; tasks are worked while [Updater.Run]
// runs.
func New(config Config) (*Updater, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &Updater{config: config, store: retrying{config.Store}, log: config.Logger, trust: newTrust(),
		cache: newCache(config.CacheSize)}
	u.combiner = &combiner{roll: u.roll, timeout: config.RollTimeout, next: map[string]*batch{}}
	if config.Renew != nil {
		u.renewer = newRenewer(u, *config.Renew)
	}
	return u, nil
}

// ForceOnline accepts the work of signing and publishing new versions of an app's online roles, and
// returns at once with the pending task.
//
// Roles are timestamp, snapshot, targets, and delegated targets roles at any depth by name; the
// prefix of hash bins names all of them. A role brings those above it: a targets role the snapshot,
// and the snapshot the timestamp. None at all means timestamp and snapshot, and targets where it is
// online.
//
// Refused are, with these errors: names that are none (ErrInvalidApp, ErrUnknownRole), root
// (ErrRootRole), an app that is not ready (ErrNotBootstrapped, ErrRootExpired, a *VerificationError
// for its root), roles without keys (ErrTargetsOffline, ErrNoKey), and more work than the task
// store takes (tasks.ErrFull, ErrStopped). Any other error means that the request could not be
// checked and can be made again.
func (u *Updater) ForceOnline(ctx context.Context, app string, roles []string) (tasks.Task, error) {
	if u.stopping.Load() {
		return tasks.Task{}, ErrStopped
	}
	roles, err := u.accept(ctx, app, roles)
	if err != nil {
		return tasks.Task{}, err
	}
	id := uuid.NewString()
	if err := u.config.Tasks.Add(ctx, tasks.Task{ID: id, App: app, Roles: roles}); err != nil {
		return tasks.Task{}, errorf(app, "accepting a task", err)
	}
	u.log.InfoContext(ctx, "task accepted", "app", app, "task", id, "roles", roles)
	now := time.Now()
	return tasks.Task{ID: id, App: app, Roles: roles, State: tasks.StatePending, Created: now, Updated: now}, nil
}

// Roll does here and now what [Updater.ForceOnline] accepts: when it returns nil, the new versions
// are published. It fails with the same errors, with ErrConflict if other writers won every time,
// and with those of the store and of the key provider; after an error of the store in the last
// step, the timestamp's, the release may have been published all the same. Rolls of one app are
// combined, so a result may name more roles than were asked for, and two processes that sign the
// very same bytes within one second share a release.
func (u *Updater) Roll(ctx context.Context, app string, roles []string) (tasks.Result, error) {
	if err := checkNames(app, roles); err != nil {
		return tasks.Result{}, err
	}
	return u.combiner.do(ctx, app, unique(roles))
}

// Task returns a task that was accepted; tasks.ErrNotFound if there is none.
func (u *Updater) Task(ctx context.Context, id string) (tasks.Task, error) {
	return u.config.Tasks.Get(ctx, id)
}

// Wait returns a task once it has ended, or an error when ctx ends.
func (u *Updater) Wait(ctx context.Context, id string) (tasks.Task, error) {
	const longest = time.Second
	for interval := 5 * time.Millisecond; ; interval = min(2*interval, longest) {
		t, err := u.Task(ctx, id)
		if err != nil || t.State.Ended() {
			return t, err
		}
		timer := time.NewTimer(interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return tasks.Task{}, context.Cause(ctx)
		}
	}
}

// Run works tasks, and makes the rounds of Config.Renew, until ctx ends; then ForceOnline accepts
// no more, what was begun is finished, and Run returns. Work that fails is tried again, where the
// task store does that, unless it would fail in the same way: for want of a key, or because of what
// was tampered with. Run is called once.
func (u *Updater) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { u.stopping.Store(true) })
	defer stop()
	var renewing sync.WaitGroup
	if u.renewer != nil {
		renewing.Go(func() { u.renewer.run(ctx) })
	}
	defer renewing.Wait()
	defer cancel()
	return u.config.Tasks.Run(ctx, u.work)
}

// work does a task.
func (u *Updater) work(ctx context.Context, t tasks.Task) (tasks.Result, error) {
	log := u.log.With("app", t.App, "task", t.ID)
	log.InfoContext(ctx, "task started", "roles", t.Roles, "attempt", t.Attempt)
	result, err := u.combiner.do(ctx, t.App, t.Roles)
	if err != nil {
		log.ErrorContext(ctx, "task failed", "error", err, "attempt", t.Attempt)
		if !permanent(err) {
			err = tasks.Temporary(err)
		}
		return tasks.Result{}, err
	}
	log.InfoContext(ctx, "task succeeded", "versions", result.Versions)
	return result, nil
}

// roll is what the combiner calls.
func (u *Updater) roll(ctx context.Context, app string, roles []string) (tasks.Result, error) {
	settings, err := u.settings(ctx, app)
	if err != nil {
		return tasks.Result{}, err
	}
	r := &roll{u: u, app: app, roles: roles, keys: u.keyring(app, settings), taken: map[string]int64{},
		steps: map[string]int{}}
	return r.run(ctx)
}

// accept checks a request as far as that takes few reads, and none if the app is remembered, and
// returns the roles: the defaults if there are none, each once.
func (u *Updater) accept(ctx context.Context, app string, roles []string) ([]string, error) {
	if err := checkNames(app, roles); err != nil {
		return nil, err
	}
	settings, err := u.settings(ctx, app)
	if err != nil {
		return nil, err
	}
	goal := tufmeta.Timestamp
	if slices.ContainsFunc(roles, isDelegated) {
		goal = tufmeta.Targets
	}
	v, ring := newView(u.store, app, goal, u.cache.get(app)), u.keyring(app, settings)
	accepted, err := u.look(ctx, v, ring, unique(roles))
	if err != nil && v.trusting && ctx.Err() == nil { // what is remembered may be to blame
		accepted, err = u.look(ctx, v.again(), ring, unique(roles))
	}
	return accepted, err
}

// look checks a request against an app's files.
func (u *Updater) look(ctx context.Context, v *view, ring *keyring, roles []string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what was read ahead in vain
	p, roles, err := u.prepare(ctx, v, ring, roles)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(roles, isDelegated) {
		if err := u.loadSnapshot(ctx, p); err != nil {
			return nil, err
		}
		t := newTree(p, ring, roles)
		if err := t.walk(ctx); err != nil {
			return nil, err
		}
		if _, err = t.plan(ctx); err != nil {
			return nil, err
		}
	}
	u.cache.add(p.app, &state{roots: p.roots, files: v.files()})
	return roles, nil
}

// checkNames checks what can be checked without a look at the repository.
func checkNames(app string, roles []string) error {
	if err := CheckApp(app); err != nil {
		return err
	}
	for _, role := range roles {
		switch role {
		case tufmeta.Root:
			return errorf(app, "refused", ErrRootRole)
		case defaults:
			return errorf(app, "role without a name", ErrUnknownRole)
		}
	}
	return nil
}

// defaults stands for the roles of a request that names none, until the repository has been looked
// at. It is no name of a role.
const defaults = ""

// unique returns roles sorted, each once, so that equal requests look equal.
func unique(roles []string) []string {
	if len(roles) == 0 {
		return []string{defaults}
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	return slices.Compact(roles)
}

// prepare loads root and timestamp, puts the default roles in their place, and makes sure that the
// keys of the top-level roles that have to be signed are at hand.
func (u *Updater) prepare(ctx context.Context, v *view, ring *keyring, roles []string) (*published, []string, error) {
	p, err := u.loadRoots(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	if err := u.loadTimestamp(ctx, p); err != nil {
		return nil, nil, err
	}
	top := p.root().Roles
	if slices.Contains(roles, defaults) {
		online, err := ring.isOnline(ctx, top[tufmeta.Targets], "")
		if err != nil {
			return nil, nil, err
		}
		roles = append(slices.Clone(roles), tufmeta.Snapshot, tufmeta.Timestamp)
		if online {
			roles = append(roles, tufmeta.Targets)
		}
		roles = slices.DeleteFunc(unique(roles), func(role string) bool { return role == defaults })
	}
	needed := []string{tufmeta.Timestamp}
	if !isTimestampOnly(roles) {
		needed = append(needed, tufmeta.Snapshot)
	}
	if slices.Contains(roles, tufmeta.Targets) {
		needed = append(needed, tufmeta.Targets)
	}
	for _, role := range needed {
		if _, err := ring.online(ctx, top[role], ""); err != nil {
			return nil, nil, err
		}
	}
	return p, roles, nil
}

func isTimestampOnly(roles []string) bool { return len(roles) == 1 && roles[0] == tufmeta.Timestamp }
