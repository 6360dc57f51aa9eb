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

// Renew says how online roles are kept from expiring without anybody asking, while [Updater.Run]
// runs. Rounds are made: in each, every app's published files are read and verified, and a task is
// added for an app whose roles are due. The zero value is fit for use.
//
// Any number of replicas may do so. The task's ID follows from what is published, so that of
// replicas with one task store only one adds it.
type Renew struct {
	// Apps returns the apps to look after, and is asked at the beginning of each round. Nil: those
	// of which the store lists a timestamp.json; it has to be a storage.Lister, and the whole
	// listing is read, earlier versions too.
	Apps func(ctx context.Context) ([]string, error)

	// Early is the share of its validity that a role has left when it is renewed, more than 0 and
	// less than 1. 0: one half.
	Early float64

	// Jitter is the share of the validity by which that may come earlier still: by how much differs
	// from app to app and is the same on all replicas, lest all that was published together comes
	// due together. 0: one tenth; negative: none.
	Jitter float64

	// Every is the time from the beginning of one round to that of the next, if it does not take
	// longer. 0: five minutes.
	Every time.Duration

	// Rate bounds how many requests a second the rounds make of the store, on average. 0: as many
	// as it answers. An app of which nothing changed costs two. An app that cannot be looked at
	// within Config.RollTimeout, because of this or because something hangs, counts as failed; what
	// could be looked at is renewed all the same.
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

// A Renewal is what became of one round.
type Renewal struct {
	Began    time.Time
	Ended    time.Time
	Apps     int    // that there are
	Added    int    // tasks; not those that another replica had added
	Failed   int    // apps with a failure, which are tried again, more and more seldom
	Requests int64  // that were made of the store
	Error    string // why there was no round
}

// Renewal returns what became of the last round that has ended, the zero Renewal if none has. The
// error, ErrRenewalLate, says that none has succeeded for three times as long as from one to the
// next, of this Updater's Run. Without Config.Renew, or before Run, there is none.
func (u *Updater) Renewal() (Renewal, error) {
	if u.renewer == nil {
		return Renewal{}, nil
	}
	return u.renewer.report()
}
