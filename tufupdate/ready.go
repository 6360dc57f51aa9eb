package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/published"
)

// Ready returns nil if this process can do its work, for a readiness check. It makes no request.
// The error wraps
//
//   - ErrStopped, if Run has ended;
//   - ErrRenewalLate, if the renewal has made no progress for three times Renew.Every;
//   - ErrUnhealthy, if rolls of several apps, or of the only one, fail because of the store or a
//     key service, for longer than Renew.Every, and none has succeeded since; or if no client of
//     any app can go on, and a person has to act, or three rounds of the renewal did not help.
//
// One failing app of many is no reason to send requests for the others elsewhere: see
// [Updater.Failing].
func (u *Updater) Ready() error {
	if u.ran.Load() && u.stopping.Load() {
		return ErrStopped
	}
	every := defaultEvery
	if u.renewer != nil {
		every = u.renewer.renew.Every
		if err := u.renewer.late(); err != nil {
			return err
		}
	}
	if err := u.rolls.failing(every, u.health.count()); err != nil {
		return err
	}
	return u.health.allFail(time.Now())
}

// late returns an error if the renewal makes no progress.
func (r *renewer) late() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	// One look may take RollTimeout.
	if r.progress.IsZero() || time.Since(r.progress) <= max(patience*r.renew.Every, r.renew.Every+r.u.config.RollTimeout) {
		return nil
	}
	err := fmt.Errorf("%w: no progress since %s", ErrRenewalLate, r.progress.UTC().Format(time.RFC3339))
	if r.failure != nil {
		err = fmt.Errorf("%w: %w", err, r.failure)
	}
	return err
}

// count returns how many apps this process looks after.
func (h *health) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.apps)
}

// allFail returns an error if clients of no app can go on. While the first round is under way that
// is not known.
func (h *health) allFail(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.looks || !h.whole {
		return nil
	}
	var first *Trouble
	app := ""
	for name, f := range h.apps {
		if f.unlisted > 0 {
			continue
		}
		i := slices.IndexFunc(f.Troubles, func(t Trouble) bool { return t.stopsAll(now, h.patience) })
		if i < 0 {
			return nil
		}
		if first == nil || name < app {
			first, app = &f.Troubles[i], name
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%w: all %d apps, such as %s: %s", ErrUnhealthy, len(h.apps), app, first.Text)
}

// stopsAll reports whether a trouble concerns all clients of its app, and does not end by itself.
func (t Trouble) stopsAll(now time.Time, patience time.Duration) bool {
	if t.partial || published.IsDelegated(t.Role) || t.Code == CodeUpload || t.Code == CodeClock {
		return false
	}
	return t.Who != ActorUpdater || now.Sub(t.Since) > patience
}

// rolls tells whether rolls succeed at all, whatever the app.
type rolls struct {
	mu    sync.Mutex
	since time.Time       // of the first failure since the last success; zero if there is none
	last  time.Time       // of the last failure
	apps  map[string]bool // whose rolls have failed since
	err   error
}

// note notes the outcome of a roll. A failure that lies in one app, or with callers who have left,
// says nothing.
func (r *rolls) note(app string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch now := time.Now(); {
	case err == nil:
		r.since, r.apps, r.err = time.Time{}, nil, nil
	case CodeOf(err) == CodeUnavailable && !errors.Is(err, context.Canceled):
		if r.since.IsZero() {
			r.since, r.apps = now, map[string]bool{}
		}
		if len(r.apps) < manyFailing {
			r.apps[app] = true
		}
		r.last, r.err = now, err
	}
}

// manyFailing is from how many apps on a failing roll is nothing new.
const manyFailing = 10

// many reports whether rolls of many apps have failed, and none has succeeded since.
func (r *rolls) many() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.apps) >= manyFailing
}

// failing returns an error if rolls have failed for longer than a time: those of several apps, or
// of the only one. What failed long ago says nothing of now.
func (r *rolls) failing(limit time.Duration, apps int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.since.IsZero(), r.last.Sub(r.since) < limit, time.Since(r.last) > patience*limit,
		len(r.apps) < 2 && apps != 1:
		return nil
	}
	return fmt.Errorf("%w: no roll has succeeded since %s: %w", ErrUnhealthy, r.since.UTC().Format(time.RFC3339), r.err)
}
