package tufupdate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// Renew configures the renewal, which keeps online roles from expiring without a request. While
// [Updater.Run] runs, it makes rounds over all apps, and looks at each app whose time has come. A
// look reads and verifies what is published, and adds a task if roles are due. The zero value is
// ready for use.
//
// An app's time comes when a role is due, and after Look. An app with a trouble is looked at in
// every round. So is one that this process has rolled since.
//
// Any number of processes may renew. If they share a task store that elects one of them
// (tasks.Elector), only that one looks.
type Renew struct {
	// Apps returns the apps to renew. It is called at the beginning of each round. If nil, they are
	// the apps of which the store lists a timestamp.json and a root. The store then has to be a
	// storage.Lister. Its whole listing is read once in an eighth of Look, earlier versions too.
	Apps func(ctx context.Context) ([]string, error)

	// Early is the share of its validity that a role has left when it is renewed, more than 0 and
	// less than 1. The default is one half. A role is renewed earlier still if its repository asks
	// for that, by x-tuf-on-ci-signing-period or x-tuf-on-ci-signing-period-hours.
	Early float64

	// Jitter spreads renewals of apps that were published together. It is the share of the validity
	// by which a renewal comes earlier still, at most. It depends only on the app's name, so
	// replicas agree. The default is one tenth. If negative, there is none.
	Jitter float64

	// Every is the time from the beginning of one round to the beginning of the next. A round that
	// takes longer delays the next one. The default is five minutes.
	Every time.Duration

	// Look is the longest time from one look at an app to the next, while nothing is due. Within
	// that time the renewal notices a new root, an upload, or a change that another tool or an
	// attacker has made. Chance makes it a ninth shorter at most. The default is nine hours.
	//
	// A look at an unchanged app costs two requests of the store, and one for each offline targets
	// role, whose holders may have uploaded. It leaves bins out.
	Look time.Duration

	// Rate bounds how many requests a second the looks make of the store, on average. If 0, there
	// is no bound. If a look does not end within Config.RollTimeout, that is a trouble of the app.
	// Its roles that were judged until then are renewed all the same.
	Rate float64
}

const defaultEvery = 5 * time.Minute

// early returns a copy with the defaults of Early and Jitter filled in.
func (r Renew) early() Renew {
	r.Early = cmp.Or(r.Early, 0.5)
	r.Jitter = max(cmp.Or(r.Jitter, 0.1), 0)
	return r
}

func (r Renew) withDefaults(store storage.Store) (Renew, error) {
	r = r.early()
	r.Every = cmp.Or(r.Every, defaultEvery)
	r.Look = cmp.Or(r.Look, 9*time.Hour)
	if !(r.Early > 0 && r.Early+r.Jitter < 1) {
		return r, fmt.Errorf("tufupdate: Renew.Early %v and Jitter %v: not more than 0 and, together, less than 1", r.Early,
			r.Jitter)
	}
	if !(r.Every > 0 && r.Look > 0 && r.Rate >= 0) {
		return r, fmt.Errorf("tufupdate: Renew.Every %v, Look %v or Rate %v is negative", r.Every, r.Look, r.Rate)
	}
	if r.Apps == nil {
		lister, ok := storage.As[storage.Lister](store)
		if !ok {
			return r, errors.New("tufupdate: Renew.Apps is missing, and the store cannot list")
		}
		r.Apps = (&listing{store: lister, every: r.Look / 8}).apps
	}
	return r, nil
}

// A Renewal is the result of one round.
type Renewal struct {
	Began     time.Time
	Ended     time.Time
	Elsewhere bool   // another process looks after the apps
	Apps      int    // all apps
	Looked    int    // apps whose time had come
	Added     int    // tasks added
	Failed    int    // apps with a trouble, looked at now or not
	Requests  int64  // requests made of the store
	Error     string // why there was no round
}

// Renewal returns the result of the last round that has ended, the zero Renewal if none has.
func (u *Updater) Renewal() Renewal {
	if u.renewer == nil {
		return Renewal{}
	}
	u.renewer.mu.Lock()
	defer u.renewer.mu.Unlock()
	return u.renewer.last
}

// lead returns how long before it expires a role of an app is to be renewed, given how long it is
// valid.
func (u *Updater) lead(app string) func(validity time.Duration) time.Duration {
	renew := Renew{}.early()
	if u.config.Renew != nil {
		renew = *u.config.Renew
	}
	sum := sha256.Sum256([]byte(app)) // which tells names apart that differ in one digit
	part := float64(binary.BigEndian.Uint64(sum[:])) / math.MaxUint64
	return func(validity time.Duration) time.Duration {
		return time.Duration((renew.Early + part*renew.Jitter) * float64(validity))
	}
}
