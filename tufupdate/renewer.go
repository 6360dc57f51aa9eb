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
	outages  int // rounds in a row in which some apps could not be judged
	unlisted int // rounds in a row in which the apps could not be listed

	mu       sync.Mutex
	rolled   map[string]bool // apps of which this process has published since the last look
	progress time.Time       // when something was last looked at; zero if Run is not active
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
	if !r.leads() {
		r.apps = map[string]*attention{}
		r.u.health.keep(func(string) bool { return false })
		r.mu.Lock()
		defer r.mu.Unlock()
		r.progress, r.failure = time.Now(), nil
		r.last = Renewal{Began: r.progress, Ended: r.progress, Elsewhere: true}
		return
	}
	round := Renewal{Began: time.Now()}
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
		if !a.next.After(now) {
			due = append(due, app)
		}
	}
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	round.Apps, round.Looked = len(known), len(due)
	var added atomic.Int64
	outages := &outages{}
	var group errgroup.Group
	group.SetLimit(r.parallel())
	for _, app := range due {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			addedNow, outage := r.look(ctx, app, known[app])
			if addedNow {
				added.Add(1)
			}
			outages.add(app, outage)
			r.advance()
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	round.Added, round.Failed = int(added.Load()), r.u.health.failed()
	r.report(ctx, outages)
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
	for _, app := range r.takeRolled() {
		if known, _ := r.u.health.of(app); !known.Healthy() {
			_, _ = r.look(ctx, app, r.apps[app])
		}
	}
}

// An outages counts apps that could not be judged, for reasons that may pass.
type outages struct {
	mu    sync.Mutex
	count int
	app   string // one of them
	err   error
}

func (o *outages) add(app string, err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count++; o.err == nil {
		o.app, o.err = app, err
	}
}

// report logs once that apps could not be judged, and once that they can be again.
func (r *renewer) report(ctx context.Context, o *outages) {
	log := r.u.log
	switch {
	case o.err == nil && r.outages > 0:
		log.InfoContext(ctx, "renewal: all apps could be read again", "rounds", r.outages)
		r.outages = 0
		return
	case o.err == nil:
		return
	}
	r.outages++
	again := time.Now().Add(r.renew.Every)
	switch r.outages {
	case 1:
		log.WarnContext(ctx, "renewal: some apps could not be read", "apps", o.count, "app", o.app, "error", o.err,
			"again", again)
	case patience + 1:
		log.ErrorContext(ctx, "renewal: some apps could not be read for several rounds", "apps", o.count, "app", o.app,
			"error", o.err, "again", again)
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
