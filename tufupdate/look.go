package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
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
	next   time.Time         // when the app is looked at again
	event  time.Time         // when time alone changes something; zero: never
	read   time.Time         // when all but the bins was last read from the store, and was well
	again  bool              // all has to be judged again: something is wrong or due, or was published
	sights []sight           // what was seen
	plain  []string          // names of the listed files, without those of bins
	given  [sha256.Size]byte // of the settings
	tasks  map[string]string // IDs of the tasks that were added, if they have not succeeded, by group
}

// isDue reports whether an app's time has come. Either clock may have been moved, or have stood
// still: the one that is first counts.
func (a *attention) isDue(now time.Time) bool {
	return reached(now, a.next) || !a.event.IsZero() && reached(now, a.event)
}

// reached reports whether a time has come, by the clock of the wall or by the monotonic one.
func reached(now, at time.Time) bool { return !at.After(now) || !at.Round(0).After(now.Round(0)) }

// A sight is a file that tells whether anything has changed, as it was seen.
type sight struct {
	name    string
	version storage.Version // storage.Absent: there is no such file
}

// A finding is what a look has found out.
type finding struct {
	health   AppHealth
	warnings []string
	judged   map[string]bool // roles, and prefixes of bins
	added    bool            // a task was added
}

// look looks at an app, and notes what is wrong with it. It reports whether a task was added.
func (r *renewer) look(ctx context.Context, app string, a *attention) (added bool) {
	now := time.Now()
	f, err := guarded(r.u.panics, func() (*finding, error) { return r.judge(ctx, app, a) })
	if ctx.Err() != nil {
		return false
	}
	if f == nil && err == nil { // nothing has changed
		a.next = r.later(now)
		r.u.health.same(app, now)
		return false
	}
	if f == nil {
		f = &finding{}
	}
	f.health.App, f.health.Looked = app, now
	if err != nil {
		t := troubleOf(err)
		t.partial = f.judged[tufmeta.Targets]
		f.health.Troubles = append(f.health.Troubles, t)
		r.keepKnown(f)
	}
	a.again = len(f.health.Troubles) > 0 || f.added || len(a.tasks) > 0
	a.next = r.later(now)
	if a.again {
		a.next = now
	}
	r.u.health.note(ctx, f.health, f.warnings)
	return f.added
}

// troubleOf returns why a look at an app did not end. If another look may fare better, many apps
// may have that in common.
func troubleOf(err error) Trouble {
	code := CodeOf(err)
	t := Trouble{Code: code, Who: actorOf(code), Text: err.Error()}
	if t.Who == ActorUpdater {
		t.outage, t.Why = true, t.Text
		t.Text = "the app cannot be judged: the store, its settings or its pinned root could not be read"
	}
	return t
}

// later returns when an app is looked at again that is well. Chance spreads the looks.
func (r *renewer) later(now time.Time) time.Time {
	return now.Add(r.renew.Look - rand.N(r.renew.Look/lookSpread+1))
}

// lookSpread is the part of Renew.Look by which chance makes the time to the next look shorter.
const lookSpread = 9

// keepKnown adds what was known of what could not be judged this time.
func (r *renewer) keepKnown(f *finding) {
	before, _ := r.u.health.last(f.health.App)
	for _, t := range before.Troubles {
		same := func(other Trouble) bool { return other.key() == t.key() }
		if !t.outage && !f.judged[t.Role] && !slices.ContainsFunc(f.health.Troubles, same) {
			f.health.Troubles = append(f.health.Troubles, t)
		}
	}
	if f.health.Uploads == nil {
		f.health.Uploads = before.Uploads
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
	settings, err := r.u.settings(lookCtx, app)
	if err != nil {
		return nil, err
	}
	now, given := time.Now(), settings.sum()
	all := reached(now, a.read.Add(readEvery))
	if !a.again && !all && a.given == given && (a.event.IsZero() || !reached(now, a.event)) {
		same, err := r.unchanged(lookCtx, a.sights)
		if same || err != nil {
			return nil, err
		}
	}
	a.again = true // until this look has ended
	known := r.u.memory.State(app)
	if all { // what is cached may have been damaged since
		known.Files = without(known.Files, a.plain)
	}
	set := repofiles.NewSet(r.store, known, false)
	s, repo, err := r.u.survey(lookCtx, app, settings, set, published.Input{})
	if s == nil {
		return nil, err
	}
	if err == nil {
		r.u.memory.Offer(app, repofiles.State{Roots: repo.Roots, Files: set.Files()})
		a.sights, a.event, a.given = sights(repo, set), s.event, given
		well := len(s.status.Troubles) == 0
		if well || a.plain == nil { // otherwise a file that does not count would be missing there
			a.plain = repo.ListedFiles()
		}
		if well && all {
			a.read = now
		}
	}
	f := &finding{
		health:   AppHealth{Due: s.first, Troubles: s.status.Troubles, Uploads: s.status.Uploads},
		warnings: s.status.Warnings, judged: s.judged,
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
	added, troubles, taskErr := r.add(taskCtx, app, a, sumOf(timestamp), roles)
	f.added, f.health.Troubles = added, append(f.health.Troubles, troubles...)
	return f, errors.Join(err, taskErr)
}

// readEvery is how often a look takes nothing from the cache but bins.
const readEvery = 24 * time.Hour

// without returns files without some names.
func without(files map[string]*repofiles.File, names []string) map[string]*repofiles.File {
	if len(names) == 0 {
		return nil
	}
	files = maps.Clone(files)
	for _, name := range names {
		delete(files, name)
	}
	return files
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
			if err != nil && !repofiles.Answered(err) {
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
