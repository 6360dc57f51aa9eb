package tufupdate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/tufonline/tufonline/storage"
)

// A renewer makes the passes of [Renew].
type renewer struct {
	u        *Updater
	renew    Renew
	store    storage.Store // paced
	requests atomic.Int64

	mu    sync.Mutex
	apps  map[string]*attention
	since time.Time // when run began, or the last pass that succeeded ended; zero before
	last  Renewal
}

const (
	renewParallel  = 64
	requestTimeout = 30 * time.Second

	longestPause = time.Hour // before something that failed is tried again
)

func newRenewer(u *Updater, renew Renew) *renewer {
	r := &renewer{u: u, renew: renew, apps: map[string]*attention{}}
	limit := rate.Inf
	if renew.Rate > 0 {
		limit = rate.Limit(renew.Rate)
	}
	burst := max(1, int(math.Ceil(renew.Rate)))
	r.store = &paced{u.store, rate.NewLimiter(limit, burst), &r.requests}
	return r
}

// paced is a store that is read at a limited rate.
type paced struct {
	storage.Store
	limiter  *rate.Limiter
	requests *atomic.Int64
}

// Unwrap is for storage.As.
func (p *paced) Unwrap() storage.Store { return p.Store }

func (p *paced) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := p.limiter.Wait(ctx); err != nil {
		return storage.Object{}, err
	}
	p.requests.Add(1)
	return p.Store.Get(ctx, key)
}

// run makes passes until ctx ends.
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
		r.pass(ctx)
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

// pass checks every app once.
func (r *renewer) pass(ctx context.Context) {
	pass := Renewal{Began: time.Now()}
	before := r.requests.Load()
	apps, err := r.list(ctx)
	if err == nil {
		pass.Apps = len(apps)
		pass.Added, pass.Failed = r.visit(ctx, apps)
		err = ctx.Err() // then some were left out
	}
	pass.Ended, pass.Requests = time.Now(), r.requests.Load()-before
	if ctx.Err() != nil {
		return
	}
	log := r.u.log.With("apps", pass.Apps, "added", pass.Added, "failed", pass.Failed, "requests", pass.Requests,
		"took", pass.Ended.Sub(pass.Began))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		pass.Error = err.Error()
		log.ErrorContext(ctx, "renewal: no pass", "error", err)
	} else {
		r.since = pass.Ended
		log.InfoContext(ctx, "renewal: checked all apps")
	}
	r.last = pass
}

// list returns the apps to renew.
func (r *renewer) list(ctx context.Context) ([]string, error) {
	late := fmt.Errorf("the list of apps may take %v: %w", r.u.config.RollTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, r.u.config.RollTimeout, late)
	defer cancel()
	return r.renew.Apps(ctx)
}

// visit checks apps, many at once, in an order that differs from replica to replica. It forgets all
// other apps.
func (r *renewer) visit(ctx context.Context, apps []string) (added, failed int) {
	known := make(map[string]*attention, len(apps))
	for _, app := range apps {
		known[app] = cmp.Or(r.apps[app], &attention{})
	}
	r.apps = known
	var addedNow, failedNow atomic.Int64
	var group errgroup.Group
	limit := renewParallel
	if rate := r.renew.Rate; rate > 0 { // those that share a rate would all run out of time together
		limit = min(limit, max(1, int(rate)))
	}
	group.SetLimit(limit)
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
