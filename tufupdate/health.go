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

	// Keys are the keys that cannot sign, where those are the trouble.
	Keys []MissingKey

	// Since is when this process first saw the trouble.
	Since time.Time
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

	mu   sync.Mutex
	apps map[string]*found
}

// found is what was found out of one app.
type found struct {
	AppHealth
	warned    []string // warnings that were logged
	escalated []string // keys of troubles that the renewal could not end
}

func newHealth(log *slog.Logger, patience time.Duration) *health {
	return &health{log: log, patience: patience, apps: map[string]*found{}}
}

// key tells troubles apart. A trouble whose text changes is the same.
func (t Trouble) key() string { return strings.Join([]string{t.Role, t.Code, string(t.Who)}, "\x00") }

func (h *health) of(app string) (AppHealth, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.apps[app]
	if f == nil {
		return AppHealth{}, false
	}
	return f.clone(), true
}

func (h *health) failing() (all []AppHealth) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.apps {
		if !f.Healthy() {
			all = append(all, f.clone())
		}
	}
	slices.SortFunc(all, func(a, b AppHealth) int { return strings.Compare(a.App, b.App) })
	return all
}

func (f *found) clone() AppHealth {
	c := f.AppHealth
	c.Troubles, c.Uploads = slices.Clone(c.Troubles), slices.Clone(c.Uploads)
	for i := range c.Troubles {
		c.Troubles[i].Keys = slices.Clone(c.Troubles[i].Keys)
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

// keep forgets all apps but those that are still looked after.
func (h *health) keep(after func(app string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for app := range h.apps {
		if !after(app) {
			delete(h.apps, app)
		}
	}
}

// note takes what a look has found out, and logs what has changed: a trouble when it begins and
// when it is over, a warning and a waiting upload when they come up. A trouble that the renewal
// ends by itself is an error only once it has lasted.
func (h *health) note(ctx context.Context, now AppHealth, warnings []string) {
	h.since(now.App, now.Troubles, now.Looked)
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.apps[now.App]
	if before == nil {
		before = &found{}
	}
	log := h.log.With("app", now.App)
	after := &found{AppHealth: now, warned: warnings}
	for _, t := range now.Troubles {
		key := t.key()
		level, isNew := slog.LevelError, before.trouble(key) == nil
		if t.Who == ActorUpdater {
			late := now.Looked.Sub(t.Since) > h.patience
			isNew = isNew || late && !slices.Contains(before.escalated, key)
			if late {
				after.escalated = append(after.escalated, key)
			} else {
				level = slog.LevelWarn
			}
		}
		if isNew && !t.isOutage() {
			log.LogAttrs(ctx, level, "trouble", t.attrs()...)
		}
	}
	for _, t := range before.Troubles {
		if after.trouble(t.key()) == nil && !t.isOutage() {
			log.InfoContext(ctx, "trouble is over", "role", t.Role, "code", t.Code, "lasted", now.Looked.Sub(t.Since))
		}
	}
	for _, warning := range warnings {
		if !slices.Contains(before.warned, warning) {
			log.WarnContext(ctx, warning)
		}
	}
	for _, upload := range now.Uploads {
		if !slices.Contains(before.Uploads, upload) {
			log.InfoContext(ctx, "upload", "role", upload.Role, "version", upload.Version, "waits", upload.Waits)
		}
	}
	h.apps[now.App] = after
}

// isOutage reports whether the app could not be looked at, for a reason that many apps share. The
// round logs it once for all of them.
func (t Trouble) isOutage() bool {
	return t.Role == "" && t.Code == CodeUnavailable && t.Who == ActorUpdater
}

func (t Trouble) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("code", t.Code), slog.String("who", string(t.Who)), slog.String("error", t.Text)}
	if t.Role != "" {
		attrs = append(attrs, slog.String("role", t.Role))
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
