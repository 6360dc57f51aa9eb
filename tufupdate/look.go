package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// An attention is what the renewal has to know of an app from one look to the next.
type attention struct {
	next   time.Time // when the app is looked at again
	event  time.Time // when time alone changes something; zero: never
	sights []sight   // what was seen
	again  bool      // all has to be judged again: something is wrong or due, or was published
	tasks  []string  // IDs of the last tasks that were added, if they have not succeeded
}

// A sight is a file that tells whether anything has changed, as it was seen.
type sight struct {
	name    string
	version storage.Version // storage.Absent: there is no such file
}

// A finding is what a look has found out.
type finding struct {
	health   AppHealth
	warnings []string
	added    bool // a task was added
}

// look looks at an app, and notes what is wrong with it. It reports whether a task was added. An
// outage says that the app could not be judged, for a reason that may pass.
func (r *renewer) look(ctx context.Context, app string, a *attention) (added bool, outage error) {
	now := time.Now()
	f, err := guarded(r.u.log, func() (*finding, error) { return r.judge(ctx, app, a) })
	if ctx.Err() != nil {
		return false, nil
	}
	if f == nil && err == nil { // nothing has changed
		a.next = r.later(now, a.event)
		return false, nil
	}
	if f == nil {
		f = &finding{}
	}
	f.health.App, f.health.Looked = app, now
	if err != nil {
		t := Trouble{Code: CodeOf(err), Who: actorOf(CodeOf(err)), Text: err.Error()}
		if t.Who == ActorUpdater {
			outage = err
		}
		f.health.Troubles = append(f.health.Troubles, t)
		r.keepKnown(&f.health)
	}
	a.again = len(f.health.Troubles) > 0 || f.added || len(a.tasks) > 0
	a.next = r.later(now, a.event)
	if a.again {
		a.next = now
	}
	r.u.health.note(ctx, f.health, f.warnings)
	return f.added, outage
}

// later returns when an app is looked at again that is well. Chance spreads the looks.
func (r *renewer) later(now, event time.Time) time.Time {
	at := now.Add(r.renew.Look - rand.N(r.renew.Look/4+1))
	if !event.IsZero() && event.Before(at) {
		return event
	}
	return at
}

// keepKnown adds what was known of roles that could not be judged this time.
func (r *renewer) keepKnown(now *AppHealth) {
	before, _ := r.u.health.of(now.App)
	for _, t := range before.Troubles {
		same := func(other Trouble) bool { return other.key() == t.key() }
		if t.Role != "" && !slices.ContainsFunc(now.Troubles, same) {
			now.Troubles = append(now.Troubles, t)
		}
	}
	if now.Uploads == nil {
		now.Uploads = before.Uploads
	}
}

// judge judges an app, and adds a task for roles that are due. If nothing has changed since the
// last look, the finding is nil. With an error, the finding has what was judged until then, or is
// nil.
func (r *renewer) judge(ctx context.Context, app string, a *attention) (*finding, error) {
	if err := CheckApp(app); err != nil {
		return nil, err
	}
	late := fmt.Errorf("a look may take %v: %w", r.u.config.RollTimeout, context.DeadlineExceeded)
	lookCtx, cancel := context.WithTimeoutCause(ctx, r.u.config.RollTimeout, late)
	defer cancel()
	if !a.again && (a.event.IsZero() || time.Now().Before(a.event)) {
		same, err := r.unchanged(lookCtx, a.sights)
		if same || err != nil {
			return nil, err
		}
	}
	a.again = true // until this look has ended
	settings, err := r.u.settings(lookCtx, app)
	if err != nil {
		return nil, err
	}
	set := repofiles.NewSet(r.store, r.u.memory.State(app), false)
	s, repo, err := r.u.survey(lookCtx, app, settings, set, published.Input{})
	if s == nil {
		return nil, err
	}
	if err == nil {
		r.u.memory.Offer(app, repofiles.State{Roots: repo.Roots, Files: set.Files()})
		a.sights, a.event = sights(repo, set), s.event
	}
	f := &finding{
		health:   AppHealth{Due: s.first, Troubles: s.status.Troubles, Uploads: s.status.Uploads},
		warnings: s.status.Warnings,
	}
	roles := s.roles()
	timestamp := repo.Plain(tufmeta.Timestamp)
	if len(roles) == 0 || timestamp == nil || !s.now.Before(repo.Root().Expires()) {
		if len(roles) == 0 && err == nil {
			a.tasks = nil
		}
		return f, err
	}
	// A role that timed out must not block renewal of the rest.
	taskCtx, cancelTask := context.WithTimeout(ctx, requestTimeout)
	defer cancelTask()
	added, trouble, taskErr := r.add(taskCtx, app, a, sumOf(timestamp), roles)
	f.added = added
	if trouble != nil {
		f.health.Troubles = append(f.health.Troubles, *trouble)
	}
	return f, errors.Join(err, taskErr)
}

// sumOf tells files apart, also those that hold no document.
func sumOf(f *repofiles.File) [sha256.Size]byte {
	if f.Document == nil {
		return sha256.Sum256([]byte(f.Stored))
	}
	return f.Sum()
}

// sights returns what tells whether an app has changed: the timestamp, the next root, and what
// holders of offline roles may upload.
func sights(repo *published.Repository, set *repofiles.Set) []sight {
	files := set.Files()
	names := append([]string{
		repo.Layout.Name(tufmeta.Timestamp, 0), repo.Layout.Name(tufmeta.Root, repo.Root().Version()+1),
	}, repo.Awaited()...)
	seen := make([]sight, len(names))
	for i, name := range names {
		seen[i] = sight{name, storage.Absent}
		if f := files[name]; f != nil {
			seen[i].version = f.Stored
		}
	}
	return seen
}

// unchanged reports whether an app is as it was seen.
func (r *renewer) unchanged(ctx context.Context, seen []sight) (bool, error) {
	if len(seen) == 0 {
		return false, nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(repofiles.Parallel)
	var changed atomic.Bool
	for _, s := range seen {
		group.Go(func() error {
			object, err := r.store.Get(groupCtx, s.name)
			switch {
			case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrInvalidKey):
			case err != nil:
				return fmt.Errorf("reading %s: %w", s.name, err)
			}
			if object.Version != s.version {
				changed.Store(true)
			}
			return nil
		})
	}
	err := group.Wait()
	return !changed.Load(), err
}
