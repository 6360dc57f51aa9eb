package tufupdate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// A renewer makes the rounds of [Renew].
type renewer struct {
	u        *Updater
	renew    Renew
	store    storage.Store // paced
	requests atomic.Int64

	mu    sync.Mutex
	apps  map[string]*attention
	since time.Time // when it has begun, or the last round that succeeded has ended; zero before
	last  Renewal
}

// An attention is what the rounds remember of an app: with nothing changed since and nothing due, there is nothing to do.
type attention struct {
	timestamp storage.Version // what it was when the app was looked at
	root      int64           // its version then
	due       time.Time       // when the first role is to be renewed
	problem   string          // what was wrong then; empty: nothing

	failures int       // to look at it, in a row
	after    time.Time // when that is tried again
}

const (
	renewParallel  = 64
	requestTimeout = 30 * time.Second

	firstPauseOfTasks = time.Minute // that failed; it doubles
	longestPause      = time.Hour
)

func newRenewer(u *Updater, renew Renew) *renewer {
	r := &renewer{u: u, renew: renew, apps: map[string]*attention{}}
	limit := rate.Inf
	if renew.Rate > 0 {
		limit = rate.Limit(renew.Rate)
	}
	burst := max(1, int(math.Ceil(renew.Rate)))
	r.store = retrying{&paced{u.config.Store, rate.NewLimiter(limit, burst), &r.requests}}
	return r
}

// paced is a store that is read at a limited rate, and gives up what hangs, so that a round comes to its end.
type paced struct {
	storage.Store
	limiter  *rate.Limiter
	requests *atomic.Int64
}

func (p *paced) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := p.limiter.Wait(ctx); err != nil {
		return storage.Object{}, err
	}
	p.requests.Add(1)
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errHangs)
	defer cancel()
	return p.Store.Get(ctx, key)
}

var errHangs = fmt.Errorf("no answer of the store within %v: %w", requestTimeout, context.DeadlineExceeded)

// run makes rounds until ctx ends.
func (r *renewer) run(ctx context.Context) {
	r.mu.Lock()
	r.since = time.Now()
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.since = time.Time{}
		r.mu.Unlock()
	}()
	for {
		next := time.NewTimer(r.renew.Every)
		r.round(ctx)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
	}
}

func (r *renewer) report() (Renewal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || time.Since(r.since) <= 3*r.renew.Every {
		return r.last, nil
	}
	err := fmt.Errorf("%w: none since %s", ErrRenewalLate, r.since.UTC().Format(time.RFC3339))
	if r.last.Error != "" {
		err = fmt.Errorf("%w: %s", err, r.last.Error)
	}
	return r.last, err
}

// round looks at every app once.
func (r *renewer) round(ctx context.Context) {
	round := Renewal{Began: time.Now()}
	before := r.requests.Load()
	apps, err := guarded(func() ([]string, error) { return r.renew.Apps(ctx) })
	if err == nil {
		round.Apps = len(apps)
		round.Added, round.Failed = r.visit(ctx, apps)
		err = ctx.Err() // then some were left out
	}
	round.Ended, round.Requests = time.Now(), r.requests.Load()-before
	if ctx.Err() != nil {
		return
	}
	log := r.u.log.With("apps", round.Apps, "added", round.Added, "failed", round.Failed, "requests", round.Requests,
		"took", round.Ended.Sub(round.Began))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		round.Error = err.Error()
		log.ErrorContext(ctx, "renewal: no apps to look at", "error", err)
	} else {
		r.since = round.Ended
		log.InfoContext(ctx, "renewal: looked at all apps")
	}
	r.last = round
}

// visit looks at apps, many at once, in an order that differs from replica to replica. What it knew of apps that are not among them, it forgets.
func (r *renewer) visit(ctx context.Context, apps []string) (added, failed int) {
	known := make(map[string]*attention, len(apps))
	for _, app := range apps {
		known[app] = cmp.Or(r.apps[app], &attention{})
	}
	r.apps = known
	var addedNow, failedNow atomic.Int64
	var group errgroup.Group
	group.SetLimit(renewParallel)
	seen := map[string]bool{}
	for _, i := range rand.Perm(len(apps)) {
		app := apps[i]
		if ctx.Err() != nil {
			break
		}
		if seen[app] {
			continue
		}
		seen[app] = true
		group.Go(func() error {
			a := known[app]
			if r.visitOne(ctx, app, a) {
				addedNow.Add(1)
			}
			if a.failures > 0 || a.problem != "" {
				failedNow.Add(1)
			}
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	return int(addedNow.Load()), int(failedNow.Load())
}

// visitOne looks at one app, unless that has failed and it is too early to try again, and reports whether it has added a task.
func (r *renewer) visitOne(ctx context.Context, app string, a *attention) (added bool) {
	if time.Now().Before(a.after) {
		return false
	}
	problem := error(nil)
	added, err := guarded(func() (added bool, err error) {
		late := fmt.Errorf("a look may take %v: %w", r.u.config.RollTimeout, context.DeadlineExceeded)
		ctx, cancel := context.WithTimeoutCause(ctx, r.u.config.RollTimeout, late)
		defer cancel()
		added, problem, err = r.look(ctx, app, a)
		return added, err
	})
	if ctx.Err() != nil {
		return added
	}
	if err != nil {
		pause := min(r.renew.Every<<min(a.failures, 10), max(longestPause, r.renew.Every))
		a.failures++
		a.after = time.Now().Add(pause - r.renew.Every/2) // so that a round is not missed by a hair
		r.u.log.ErrorContext(ctx, "renewal failed", "app", app, "error", err, "again", a.after)
		return added
	}
	a.failures = 0
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	if text != "" && text != a.problem { // once
		r.u.log.ErrorContext(ctx, "renewal failed", "app", app, "error", problem)
	}
	a.problem = text
	return added
}

// look looks at one app, and adds a task if something is due. problem is what is wrong with it although it could be looked at.
func (r *renewer) look(ctx context.Context, app string, a *attention) (added bool, problem, err error) {
	if err := CheckApp(app); err != nil {
		return false, nil, err
	}
	same, err := r.unchanged(ctx, app, a)
	if err != nil {
		return false, nil, err
	}
	if same && time.Now().Before(a.due) {
		if a.problem != "" {
			problem = errors.New(a.problem)
		}
		return false, problem, nil
	}
	settings, err := r.u.settings(ctx, app)
	if err != nil {
		return false, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what was read ahead in vain
	view := newView(r.store, app, tufmeta.Targets, r.u.cache.get(app))
	view.trusting, view.listedOnly = false, true // what is published counts
	s, p, err := r.u.survey(ctx, view, settings)
	if err != nil {
		return false, nil, err
	}
	if p.timestamp == nil {
		return false, nil, s.broken
	}
	r.u.cache.add(app, &state{roots: p.roots, files: view.files()})
	for _, warning := range s.status.Warnings {
		r.u.log.WarnContext(ctx, "renewal: "+warning, "app", app)
	}
	roles, due := s.due(ctx, r.lead(app))
	a.timestamp, a.root, a.due = p.timestamp.file.version, p.root().Version(), due
	switch {
	case len(roles) == 0:
		return false, s.broken, nil
	case !time.Now().Before(p.root().Expires()):
		return false, errorf(app, "roles are due", ErrRootExpired), nil
	}
	added, problem = r.add(ctx, app, sha256.Sum256(p.timestamp.Bytes()), roles)
	return added, errors.Join(problem, s.broken), nil
}

// unchanged reports whether an app's timestamp and root are those that were looked at before.
func (r *renewer) unchanged(ctx context.Context, app string, a *attention) (bool, error) {
	if a.root == 0 {
		return false, nil
	}
	names := files{view: newView(r.store, app, tufmeta.Timestamp, nil)}
	group, groupCtx := errgroup.WithContext(ctx)
	var same, newRoot bool
	group.Go(func() error {
		object, err := r.store.Get(groupCtx, names.key(tufmeta.Timestamp, 0))
		same = err == nil && object.Version == a.timestamp
		if errors.Is(err, storage.ErrNotFound) {
			return nil // something is wrong, which comes up when it is looked at
		}
		return err
	})
	group.Go(func() error {
		_, err := r.store.Get(groupCtx, names.key(tufmeta.Root, a.root+1))
		newRoot = !errors.Is(err, storage.ErrNotFound)
		if newRoot {
			return err
		}
		return nil
	})
	err := group.Wait()
	return same && !newRoot, err
}

// lead returns how long before it expires a role of an app is to be renewed, given how long it is valid.
func (r *renewer) lead(app string) func(validity time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(app))
	part := float64(h.Sum64()) / math.MaxUint64
	return func(validity time.Duration) time.Duration {
		return time.Duration((r.renew.Early + part*r.renew.Jitter) * float64(validity))
	}
}

// renewals is the name space of the IDs of tasks that nobody asked for.
func renewals() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/tufonline/tufonline#renewal"))
}

// add adds a task for roles that are due, unless there is one: its ID follows from the timestamp that is published, so all replicas with one
// task store agree on it. If it has failed, delegated roles go by themselves: whatever may be wrong with them, the others are renewed.
func (r *renewer) add(ctx context.Context, app string, published [sha256.Size]byte, roles []string) (added bool, problem error) {
	added, failed, err := r.addOnce(ctx, app, fmt.Sprintf("%x", published), roles)
	if err != nil || failed == nil {
		return added, err
	}
	top := slices.DeleteFunc(slices.Clone(roles), isDelegated)
	delegated := slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return !isDelegated(role) })
	for what, roles := range map[string][]string{"top": top, "delegated": delegated} {
		if len(roles) > 0 {
			addedNow, err := r.addAgain(ctx, app, fmt.Sprintf("%x %s", published, what), roles)
			added, problem = added || addedNow, errors.Join(problem, err)
		}
	}
	return added, problem
}

// addAgain adds a task, and another one each time that it has failed, after longer and longer pauses.
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

// addOnce adds a task whose ID follows from what is given, unless there is one. It returns that if it has failed.
func (r *renewer) addOnce(ctx context.Context, app, series string, roles []string) (added bool, failed *tasks.Task, err error) {
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
	if err != nil {
		return false, nil, errorf(app, "looking for the task "+id, err)
	}
	if task.State != tasks.StateFailure {
		return false, nil, nil
	}
	return false, &task, nil
}
