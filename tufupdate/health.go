package tufupdate

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Trouble keeps clients of an app from going on, or is about to. An app without a Trouble is
// healthy.
type Trouble struct {
	Role string // the role, or the prefix of bins; empty for the app as a whole
	Code string // the kind of error, one of the codes of CodeOf
	Who  Actor  // who has to act
	Text string // what is wrong and what to do; it shows no path and no address

	// Why is what the store, the key provider or another part that the operator provides has said.
	// It may show paths and addresses, so it is for the operator and not for clients.
	Why string

	// Keys are the keys that cannot sign, where those are the trouble.
	Keys []MissingKey

	// Since is when this process first saw the trouble.
	Since time.Time

	outage  bool // the app could not be judged; many apps may have that in common
	partial bool // the top-level roles could be judged
}

// A MissingKey is a key of a role that cannot sign.
type MissingKey struct {
	KeyID string
	// Why is what the key provider says. It may show the place where the key was looked for, so it
	// is for the operator and not for clients.
	Why string
}

// An Actor is who can end a trouble.
type Actor string

// The actors.
const (
	ActorUpdater  Actor = "updater"  // the renewal, which tries again in each round
	ActorOperator Actor = "operator" // who runs this process, and has its keys, settings and store
	ActorHolders  Actor = "holders"  // the holders of the role's offline keys
)

// An Upload is an unlisted version of a targets role.
type Upload struct {
	Role    string
	Version int64
	// Waits says why the version is not accepted. If empty, the next release lists it.
	Waits string
}

// An AppHealth is what this process knows of an app from its last look.
type AppHealth struct {
	App      string
	Looked   time.Time // when the renewal last looked
	Due      time.Time // when the first role is to be renewed; zero if no role is online
	Troubles []Trouble
	Uploads  []Upload
}

// Healthy reports whether clients can go on, as far as this process knows.
func (h AppHealth) Healthy() bool { return len(h.Troubles) == 0 }

// Health returns what the renewal's last look at an app has found out. It reports false if this
// process does not look after the app: it has no Config.Renew, has not looked yet, or another
// process looks.
func (u *Updater) Health(app string) (AppHealth, bool) { return u.health.of(app) }

// Failing returns the apps with a trouble, in the order of their names, as far as the renewal of
// this process knows. It makes no request.
func (u *Updater) Failing() []AppHealth { return u.health.failing() }

// health is what was found out of apps. Its methods may be called from many goroutines at once.
type health struct {
	log      *slog.Logger
	patience time.Duration // for which the renewal may try by itself before a person has to look

	mu     sync.Mutex
	apps   map[string]*found
	looks  bool     // this process looks after the apps
	whole  bool     // all apps were looked at once
	common *Trouble // of all apps
	over   int      // outages that have ended since the last report
}

// found is what was found out of one app.
type found struct {
	AppHealth
	warned    []string // warnings that were logged
	escalated []string // keys of troubles that were logged as errors after they had lasted
	said      said     // what was logged of an outage
	unlisted  int      // rounds in which the app was not among those to look after
}

// said is what was logged of an outage.
type said int

const (
	nothing said = iota
	begun
	lasting
)

// forgetAfter is after how many rounds an app is forgotten that is not listed any more.
const forgetAfter = 12

func newHealth(log *slog.Logger, patience time.Duration) *health {
	return &health{log: log, patience: patience, apps: map[string]*found{}}
}

// key tells troubles apart. A trouble whose text changes is the same.
func (t Trouble) key() string { return strings.Join([]string{t.Role, t.Code, string(t.Who)}, "\x00") }

// passes reports whether a trouble may end without a person.
func (t Trouble) passes() bool { return t.Who == ActorUpdater || t.Code == CodeKeyUnusable }

func (h *health) of(app string) (AppHealth, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.apps[app]
	if !h.looks || f == nil || f.unlisted > 0 {
		return AppHealth{}, false
	}
	return h.clone(f), true
}

// last returns what was found out of an app before, whether this process still looks or not.
func (h *health) last(app string) (AppHealth, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.apps[app]
	if f == nil {
		return AppHealth{}, false
	}
	return f.AppHealth, true
}

func (h *health) failing() (all []AppHealth) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.apps {
		if h.looks && f.unlisted == 0 && (!f.Healthy() || h.common != nil) {
			all = append(all, h.clone(f))
		}
	}
	slices.SortFunc(all, func(a, b AppHealth) int { return strings.Compare(a.App, b.App) })
	return all
}

// failed returns how many apps have a trouble.
func (h *health) failed() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.apps {
		if f.unlisted == 0 && (!f.Healthy() || h.common != nil) {
			n++
		}
	}
	return n
}

func (h *health) clone(f *found) AppHealth {
	c := f.AppHealth
	c.Troubles, c.Uploads = slices.Clone(c.Troubles), slices.Clone(c.Uploads)
	for i := range c.Troubles {
		c.Troubles[i].Keys = slices.Clone(c.Troubles[i].Keys)
	}
	if h.common != nil {
		c.Troubles = append(c.Troubles, *h.common)
	}
	return c
}

// since fills in when each trouble was first seen.
func (h *health) since(app string, troubles []Trouble, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range troubles {
		troubles[i].Since = now
		if before := h.apps[app].trouble(troubles[i].key()); before != nil {
			troubles[i].Since = before.Since
		}
	}
}

func (f *found) trouble(key string) *Trouble {
	if f == nil {
		return nil
	}
	for i := range f.Troubles {
		if f.Troubles[i].key() == key {
			return &f.Troubles[i]
		}
	}
	return nil
}

// same notes a look that has found nothing new.
func (h *health) same(app string, looked time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.apps[app]; f != nil {
		f.Looked = looked
	}
}

// lead notes whether this process looks after the apps.
func (h *health) lead(looks bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looks = looks; !looks {
		h.whole = false
	}
}

// keep notes which apps are looked after. What was said of others is kept for a while, since a list
// may leave an app out by mistake.
func (h *health) keep(after func(app string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for app, f := range h.apps {
		if after(app) {
			f.unlisted = 0
		} else if f.unlisted++; f.unlisted > forgetAfter {
			delete(h.apps, app)
		}
	}
}

// A line is a message for the log.
type line struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

// note takes what a look has found out, and logs what has changed: a trouble when it begins and
// when it is over, a warning and an upload when they come up. A trouble that may end without a
// person is an error only once it has lasted. Outages are left to report.
func (h *health) note(ctx context.Context, now AppHealth, warnings []string) {
	h.since(now.App, now.Troubles, now.Looked)
	log := h.log.With("app", now.App)
	for _, l := range h.take(now, warnings) { // not under the lock: a handler may ask for the health
		log.LogAttrs(ctx, l.level, l.text, l.attrs...)
	}
}

func (h *health) take(now AppHealth, warnings []string) (lines []line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.apps[now.App]
	if before == nil {
		before = &found{}
	}
	after := &found{AppHealth: now, warned: warnings}
	for _, t := range now.Troubles {
		key := t.key()
		if t.outage {
			after.said = before.said
			continue
		}
		level, isNew := slog.LevelError, before.trouble(key) == nil
		if t.passes() {
			late := now.Looked.Sub(t.Since) > h.patience
			isNew = isNew || late && !slices.Contains(before.escalated, key)
			if late {
				after.escalated = append(after.escalated, key)
			} else {
				level = slog.LevelWarn
			}
		}
		if isNew {
			lines = append(lines, line{level, "trouble", t.attrs()})
		}
	}
	for _, t := range before.Troubles {
		if after.trouble(t.key()) != nil {
			continue
		}
		if t.outage {
			if before.said != nothing {
				h.over++
			}
			continue
		}
		lines = append(lines, line{slog.LevelInfo, "trouble is over", []slog.Attr{
			slog.String("role", t.Role), slog.String("code", t.Code), slog.Duration("lasted", now.Looked.Sub(t.Since)),
		}})
	}
	for _, warning := range warnings {
		if !slices.Contains(before.warned, warning) {
			lines = append(lines, line{level: slog.LevelWarn, text: warning})
		}
	}
	for _, upload := range now.Uploads {
		if !slices.Contains(before.Uploads, upload) {
			lines = append(lines, line{slog.LevelInfo, "upload", []slog.Attr{
				slog.String("role", upload.Role), slog.Int64("version", upload.Version), slog.String("waits", upload.Waits),
			}})
		}
	}
	h.apps[now.App] = after
	return lines
}

func (t Trouble) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("code", t.Code), slog.String("who", string(t.Who)), slog.String("error", t.Text)}
	if t.Role != "" {
		attrs = append(attrs, slog.String("role", t.Role))
	}
	if t.Why != "" {
		attrs = append(attrs, slog.String("why", t.Why))
	}
	if len(t.Keys) > 0 {
		missing := make([]string, len(t.Keys))
		for i, k := range t.Keys {
			missing[i] = k.KeyID + ": " + k.Why
		}
		attrs = append(attrs, slog.Any("keys", missing))
	}
	return attrs
}
