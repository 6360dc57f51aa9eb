package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// Renew configures the renewal, which keeps online roles from expiring without a request. While
// [Updater.Run] runs, it makes passes over all apps. A pass checks each app: it reads and verifies
// the published files, and adds a task if roles are due. The zero value is ready for use.
//
// Any number of replicas may renew. A task's ID follows from what is published, so of replicas with
// one task store only one adds it.
type Renew struct {
	// Apps returns the apps to renew. It is called at the beginning of each pass. If nil, they are
	// the apps of which the store lists a timestamp.json: the store has to be a storage.Lister, and
	// its whole listing is read, earlier versions too.
	Apps func(ctx context.Context) ([]string, error)

	// Early is the share of its validity that a role has left when it is renewed, more than 0 and
	// less than 1. The default is one half. A role is renewed earlier still if its repository asks
	// for that, by x-tuf-on-ci-signing-period or x-tuf-on-ci-signing-period-hours.
	Early float64

	// Jitter spreads renewals of apps that were published together. It is the share of the validity
	// by which a renewal comes earlier still, at most. It depends only on the app's name, so
	// replicas agree. The default is one tenth. If negative, there is none.
	Jitter float64

	// Every is the time from the beginning of one pass to the beginning of the next. A pass that
	// takes longer delays the next one. The default is five minutes.
	Every time.Duration

	// Rate bounds how many requests a second the passes make of the store, on average. If 0, there
	// is no bound. An unchanged app costs two requests. If a check does not end within
	// Config.RollTimeout, the app counts as failed. Its roles that were checked until then are
	// renewed all the same.
	Rate float64
}

func (r Renew) withDefaults(store storage.Store) (Renew, error) {
	if r.Early == 0 {
		r.Early = 0.5
	}
	if r.Jitter == 0 {
		r.Jitter = 0.1
	}
	r.Jitter = max(r.Jitter, 0)
	if r.Every == 0 {
		r.Every = 5 * time.Minute
	}
	if !(r.Early > 0 && r.Early+r.Jitter < 1) {
		return r, fmt.Errorf("tufupdate: Renew.Early %v and Jitter %v: not more than 0 and, together, less than 1", r.Early,
			r.Jitter)
	}
	if !(r.Every > 0 && r.Rate >= 0) {
		return r, fmt.Errorf("tufupdate: Renew.Every %v or Rate %v is negative", r.Every, r.Rate)
	}
	if r.Apps == nil {
		lister, ok := storage.As[storage.Lister](store)
		if !ok {
			return r, errors.New("tufupdate: Renew.Apps is missing, and the store cannot list")
		}
		r.Apps = func(ctx context.Context) ([]string, error) { return listApps(ctx, lister) }
	}
	return r, nil
}

// listApps returns the apps that have a timestamp.
func listApps(ctx context.Context, store storage.Lister) (apps []string, err error) {
	names, err := store.List(ctx, "")
	for _, name := range names {
		if app, ok := strings.CutSuffix(name, "/"+tufmeta.Timestamp+tufmeta.Suffix); ok && CheckApp(app) == nil {
			apps = append(apps, app)
		}
	}
	return apps, err
}

// A Renewal is the result of one pass.
type Renewal struct {
	Began    time.Time
	Ended    time.Time
	Apps     int    // all apps
	Added    int    // tasks added, without those that another replica had added
	Failed   int    // apps with a failure, which are checked again more and more seldom
	Requests int64  // requests made of the store
	Error    string // why there was no pass
}

// Renewal returns the result of the last pass that has ended, the zero Renewal if none has. The
// error is ErrRenewalLate if no pass of this Updater's Run has succeeded for three times
// Renew.Every. Without Config.Renew, or before Run, there is no error.
func (u *Updater) Renewal() (Renewal, error) {
	if u.renewer == nil {
		return Renewal{}, nil
	}
	return u.renewer.report()
}
