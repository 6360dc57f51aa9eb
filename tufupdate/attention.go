package tufupdate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// An attention is what the last check found out about an app. If nothing has changed since and
// nothing is due, the next pass need not check it.
type attention struct {
	timestamp storage.Version // of timestamp.json in the store
	root      int64           // the newest version of root
	due       time.Time       // when the first role is to be renewed
	problem   string          // what was wrong; empty if nothing

	failures int       // checks that failed, in a row
	after    time.Time // when a failed check is tried again
}

// visitOne checks one app, unless the last check has failed and it is too early for the next. It
// reports whether it has added a task.
func (r *renewer) visitOne(ctx context.Context, app string, a *attention) (added bool) {
	if time.Now().Before(a.after) {
		return false
	}
	problem := error(nil)
	added, err := guarded(r.u.log, func() (added bool, err error) {
		added, problem, err = r.check(ctx, app, a)
		return added, err
	})
	if ctx.Err() != nil {
		return added
	}
	if err != nil {
		err = errors.Join(err, problem)
		pause := min(r.renew.Every<<min(a.failures, 10), max(longestPause, r.renew.Every))
		a.failures++
		a.after = time.Now().Add(pause - r.renew.Every/2) // a pass that comes a moment early counts
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

// check checks one app, and adds a task for the checked roles that are due. err says that the check
// did not end. problem says what is wrong with the app.
func (r *renewer) check(ctx context.Context, app string, a *attention) (added bool, problem, err error) {
	if err := CheckApp(app); err != nil {
		return false, nil, err
	}
	late := fmt.Errorf("a check may take %v: %w", r.u.config.RollTimeout, context.DeadlineExceeded)
	checkCtx, cancel := context.WithTimeoutCause(ctx, r.u.config.RollTimeout, late)
	defer cancel()
	same, err := r.unchanged(checkCtx, app, a)
	if err != nil {
		return false, nil, err
	}
	if same && a.problem == "" && time.Now().Before(a.due) {
		return false, nil, nil
	}
	settings, err := r.u.settings(checkCtx, app)
	if err != nil {
		return false, nil, err
	}
	set := repofiles.NewSet(r.store, r.u.memory.State(app), false)
	s, repo, err := r.u.survey(checkCtx, app, settings, set, published.Input{})
	if repo == nil || repo.Plain(tufmeta.Timestamp) == nil {
		return false, nil, cmp.Or(err, s.broken)
	}
	timestamp := repo.Plain(tufmeta.Timestamp)
	for _, warning := range s.status.Warnings {
		r.u.log.WarnContext(ctx, "renewal: "+warning, "app", app)
	}
	// A role that timed out must not block renewal of the rest.
	taskCtx, cancelTask := context.WithTimeout(ctx, requestTimeout)
	defer cancelTask()
	roles, due := s.due(taskCtx, r.lead(app))
	if err == nil {
		r.u.memory.Offer(app, repofiles.State{Roots: repo.Roots, Files: set.Files()})
		a.timestamp, a.root, a.due = timestamp.Stored, repo.Root().Version(), due
		if again := time.Now().Add(longestPause); due.IsZero() || due.After(again) {
			a.due = again // a key that was missing may have been installed
		}
	}
	switch {
	case len(roles) == 0:
	case !time.Now().Before(repo.Root().Expires()):
		problem = errorf(app, "roles are due", ErrRootExpired)
	default:
		added, problem = r.add(taskCtx, app, sumOf(timestamp), roles)
	}
	return added, errors.Join(problem, s.broken), err
}

// sumOf tells files apart, also those that hold no document.
func sumOf(f *repofiles.File) [sha256.Size]byte {
	if f.Document == nil {
		return sha256.Sum256([]byte(f.Stored))
	}
	return f.Sum()
}

// unchanged reports whether an app's timestamp and root are those of the last check.
func (r *renewer) unchanged(ctx context.Context, app string, a *attention) (bool, error) {
	if a.root == 0 {
		return false, nil
	}
	names := repofiles.Layout{App: app}
	group, groupCtx := errgroup.WithContext(ctx)
	var same, newRoot bool
	group.Go(func() error {
		object, err := r.store.Get(groupCtx, names.Name(tufmeta.Timestamp, 0))
		same = err == nil && object.Version == a.timestamp
		if errors.Is(err, storage.ErrNotFound) {
			return nil // something is wrong, and the check will say so
		}
		return err
	})
	group.Go(func() error {
		_, err := r.store.Get(groupCtx, names.Name(tufmeta.Root, a.root+1))
		newRoot = !errors.Is(err, storage.ErrNotFound)
		if newRoot {
			return err
		}
		return nil
	})
	err := group.Wait()
	return same && !newRoot, err
}

// lead returns how long before it expires a role of an app is to be renewed, given how long it is
// valid.
func (r *renewer) lead(app string) func(validity time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(app))
	part := float64(h.Sum64()) / math.MaxUint64
	return func(validity time.Duration) time.Duration {
		return time.Duration((r.renew.Early + part*r.renew.Jitter) * float64(validity))
	}
}
