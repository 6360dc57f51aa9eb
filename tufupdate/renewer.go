package tufupdate

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// A renewer makes the rounds of [Renew].
type renewer struct {
	u        *Updater
	renew    Renew
	store    storage.Store // paced
	requests atomic.Int64
	wake     chan struct{} // holds a value if an app that was failing was rolled

	// These are of the goroutine that makes the rounds.
	apps     map[string]*attention
	unlisted int // rounds in a row in which the apps could not be listed

	mu       sync.Mutex
	rolled   map[string]bool // apps of which this process has published since the last look
	progress time.Time       // when something was last looked at; zero if Run is not active
	leading  time.Time       // since when this process looks; zero if it does not
	failure  error           // why the last round did not begin
	last     Renewal
}

const (
	renewParallel  = 64
	electionPause  = 5 * time.Second  // of a process that does not lead; asking costs nothing
	requestTimeout = 30 * time.Second // for the task store, and for a setting
)

func newRenewer(u *Updater, renew Renew) *renewer {
	r := &renewer{
		u: u, renew: renew, wake: make(chan struct{}, 1), apps: map[string]*attention{}, rolled: map[string]bool{},
	}
	limit := rate.Inf
	if renew.Rate > 0 {
		limit = rate.Limit(renew.Rate)
	}
	burst := max(1, int(math.Ceil(renew.Rate)))
	r.store = &paced{repofiles.Retry(&counted{u.config.Store, &r.requests}), rate.NewLimiter(limit, burst)}
	return r
}

// run makes rounds until ctx ends. In between it looks at apps that were failing and were rolled.
func (r *renewer) run(ctx context.Context) {
	r.advance()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress = time.Time{}
	}()
	for {
		interval := r.renew.Every
		if !r.leads() {
			interval = min(interval, electionPause) // to take over soon
		}
		next := time.NewTimer(interval)
		r.round(ctx)
		for waiting := true; waiting; {
			select {
			case <-next.C:
				waiting = false
			case <-r.wake:
				r.healed(ctx)
			case <-ctx.Done():
				next.Stop()
				return
			}
		}
	}
}

// advance notes that the renewal makes progress.
func (r *renewer) advance() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = time.Now()
}

// leads reports whether this process looks after the apps. Of processes that share a task store one
// does.
func (r *renewer) leads() bool {
	elector, ok := tasks.As[tasks.Elector](r.u.config.Tasks)
	return !ok || elector.Leads()
}

// round looks at all apps whose time has come.
func (r *renewer) round(ctx context.Context) {
	leads := r.leads()
	r.u.health.lead(leads)
	if !leads {
		r.rest()
		return
	}
	round := Renewal{Began: time.Now()}
	r.mu.Lock()
	if r.leading.IsZero() {
		r.leading = round.Began
	}
	r.mu.Unlock()
	before := r.requests.Load()
	apps, err := r.list(ctx)
	if err != nil { // those that are known must not expire meanwhile
		apps = slices.Collect(maps.Keys(r.apps))
	}
	r.visit(ctx, apps, &round)
	if ctx.Err() != nil {
		return
	}
	round.Ended, round.Requests = time.Now(), r.requests.Load()-before
	r.log(ctx, round, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure = err; err != nil {
		round.Error = err.Error()
	}
	if err == nil || round.Apps > 0 {
		r.progress = round.Ended
	}
	r.last = round
}

// rest is the round of a process that does not lead. It forgets what it has seen, and not which
// apps there are: it may have to look after them again while they cannot be listed.
func (r *renewer) rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.leading.IsZero() {
		for app := range r.apps {
			r.apps[app] = &attention{again: true}
		}
	}
	clear(r.rolled)
	r.progress, r.leading, r.failure = time.Now(), time.Time{}, nil
	r.last = Renewal{Began: r.progress, Ended: r.progress, Elsewhere: true}
}

// list returns the apps to renew.
func (r *renewer) list(ctx context.Context) ([]string, error) {
	late := fmt.Errorf("the list of apps may take %v: %w", r.u.config.RollTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, r.u.config.RollTimeout, late)
	defer cancel()
	return r.renew.Apps(ctx)
}

// visit looks at the apps whose time has come, many at once, in an order that differs from process
// to process. It forgets all apps that are not listed.
func (r *renewer) visit(ctx context.Context, apps []string, round *Renewal) {
	known := make(map[string]*attention, len(apps))
	for _, app := range apps {
		if known[app] = r.apps[app]; known[app] == nil {
			known[app] = &attention{again: true}
		}
	}
	r.apps = known
	r.u.health.keep(func(app string) bool { return known[app] != nil })
	r.takeRolled()
	now := time.Now()
	var due []string
	for app, a := range known {
		if a.isDue(now) {
			due = append(due, app)
		}
	}
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	round.Apps, round.Looked = len(known), len(due)
	round.Added = r.lookAll(ctx, due)
	if ctx.Err() == nil {
		r.shareSkew(ctx)
		r.u.health.report(ctx, time.Now(), round.Began.Add(r.renew.Every))
	}
	round.Failed = r.u.health.failed()
}

// lookAll looks at apps, many at once, and returns for how many it has added tasks.
func (r *renewer) lookAll(ctx context.Context, apps []string) int {
	var added atomic.Int64
	var group errgroup.Group
	group.SetLimit(r.parallel())
	for _, app := range apps {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if r.look(ctx, app, r.apps[app]) {
				added.Add(1)
			}
			r.advance()
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	return int(added.Load())
}

// shareSkew notes that the clock of the store, or that of this machine, is wrong.
func (r *renewer) shareSkew(ctx context.Context) {
	var t *Trouble
	if skew := release.Skew(r.store); skew != "" {
		t = &Trouble{Code: CodeClock, Who: ActorOperator, Text: skew}
	}
	r.u.health.share(ctx, t, time.Now())
}

// parallel returns how many apps are looked at at once. Those that share a rate would all run out
// of time together.
func (r *renewer) parallel() int {
	if r.renew.Rate > 0 {
		return min(renewParallel, max(1, int(r.renew.Rate)))
	}
	return renewParallel
}

// published notes that this process has published a release of an app. An app that was failing is
// looked at at once, all others in the next round.
func (r *renewer) published(app string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.IsZero() {
		return
	}
	r.rolled[app] = true
	if known, ok := r.u.health.of(app); ok && !known.Healthy() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// takeRolled has the apps looked at anew that were rolled, and returns them.
func (r *renewer) takeRolled() (apps []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for app := range r.rolled {
		if a := r.apps[app]; a != nil {
			a.next, a.again = time.Time{}, true
			apps = append(apps, app)
		}
	}
	clear(r.rolled)
	return apps
}

// healed looks at apps that were failing and were rolled.
func (r *renewer) healed(ctx context.Context) {
	apps := slices.DeleteFunc(r.takeRolled(), func(app string) bool {
		known, _ := r.u.health.of(app)
		return known.Healthy()
	})
	r.lookAll(ctx, apps)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.Failed = r.u.health.failed()
}

// overdue returns a function that reports whether a role that was due at a time should have been
// renewed by now. The renewal has to have had its rounds.
func (u *Updater) overdue() func(due time.Time) bool {
	if u.renewer == nil {
		return func(time.Time) bool { return false }
	}
	u.renewer.mu.Lock()
	since := u.renewer.leading
	u.renewer.mu.Unlock()
	return func(due time.Time) bool {
		if since.IsZero() {
			return false
		}
		if due.Before(since) {
			due = since
		}
		return time.Since(due) > patience*u.renewer.renew.Every
	}
}

// patience is how many rounds the renewal tries by itself before a person has to look.
const patience = 3

// log logs a round. That the apps cannot be listed is logged when it begins, and when it has
// lasted.
func (r *renewer) log(ctx context.Context, round Renewal, err error) {
	log := r.u.log.With("apps", round.Apps, "looked", round.Looked, "added", round.Added, "failed", round.Failed,
		"requests", round.Requests, "took", round.Ended.Sub(round.Began))
	if err != nil {
		r.unlisted++
	}
	switch {
	case err == nil && r.unlisted == 0:
		log.DebugContext(ctx, "renewal: round")
	case err == nil:
		log.InfoContext(ctx, "renewal: the apps can be listed again", "rounds", r.unlisted)
		r.unlisted = 0
	case r.unlisted == 1:
		log.WarnContext(ctx, "renewal: the apps cannot be listed", "error", err, "again", time.Now().Add(r.renew.Every))
	case r.unlisted == patience+1:
		log.ErrorContext(ctx, "renewal: the apps could not be listed for several rounds", "error", err)
	}
}
