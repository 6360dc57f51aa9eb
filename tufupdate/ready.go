package tufupdate

import (
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
//   - ErrUnhealthy, if rolls have failed for longer than Renew.Every because of the store or a key
//   - ErrUnhealthy, if rolls have failed for longer than Renew.Every because of the store or a key
//     a person has to end.
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
	if err := u.rolls.failing(every); err != nil {
		return err
	}
	return u.health.allFail()
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

// allFail returns an error if each app that was looked at has a trouble that a person has to end,
// and that concerns all of its clients.
func (h *health) allFail() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var first *Trouble
	app := ""
	for name, f := range h.apps {
		i := slices.IndexFunc(f.Troubles, func(t Trouble) bool {
			return t.Who != ActorUpdater && !published.IsDelegated(t.Role)
		})
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

// failed returns how many apps have a trouble.
func (h *health) failed() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.apps {
		if !f.Healthy() {
			n++
		}
	}
	return n
}

// rolls tells whether rolls succeed at all, whatever the app.
type rolls struct {
	mu    sync.Mutex
	since time.Time // of the first failure since the last success; zero if there is none
	last  time.Time // of the last failure
	err   error
}

// note notes the outcome of a roll. A failure that lies in one app says nothing.
func (r *rolls) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch now := time.Now(); {
	case err == nil:
		r.since, r.err = time.Time{}, nil
	case CodeOf(err) == CodeUnavailable:
		if r.since.IsZero() {
			r.since = now
		}
		r.last, r.err = now, err
	}
}

// failing returns an error if rolls have failed for longer than a time.
func (r *rolls) failing(limit time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || r.last.Sub(r.since) < limit {
		return nil
	}
	return fmt.Errorf("%w: no roll has succeeded since %s: %w", ErrUnhealthy, r.since.UTC().Format(time.RFC3339), r.err)
}
