package tufupdate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// A Config is what an [Updater] works with. Store, Keys and Roots are required.
type Config struct {
	// Store holds the repositories. Every writer of a repository has to write through a store that
	// is atomic among all of them.
	Store storage.Store

	// Keys signs. A role is online if it holds a threshold of the role's keys.
	Keys keys.Provider

	// Tasks keeps what ForceOnline accepts. Nil: a tasks.Memory with its defaults, which forgets
	// everything when the process ends.
	Tasks tasks.Store

	// Roots returns the pinned root of an app: the version of root that the operator trusts. The
	// Updater follows the repository's own roots from it. Any version of root will do, the newest
	// protects best. An error that wraps ErrNotBootstrapped says that there is no such app.
	//
	// PinnedRoot serves a program with one app. TrustFirstRoot, passed by name, pins nothing.
	Roots func(ctx context.Context, app string) ([]byte, error)

	// Settings returns what an operator has decided for an app. It is asked for each request and
	// each roll; an error stops those. Nil: everything is read off the repository.
	Settings func(ctx context.Context, app string) (Settings, error)

	// Renew, if not nil, has Run keep online roles from expiring without being asked.
	Renew *Renew

	// WarnExpiry is how long before a root or an offline role expires Status, and the rounds of
	// Renew, warn. 0: thirty days.
	WarnExpiry time.Duration

	// RollTimeout bounds one roll, and one look of Renew at an app. 0: ten minutes.
	RollTimeout time.Duration

	// CacheSize bounds, in bytes, what is remembered of apps so that the next roll need not read it
	// again: about the size of their files, or twice that where those are not in canonical form,
	// and a few kilobytes an app. 0: 256 MiB. Negative: nothing is remembered. Of each app that was
	// seen, some five hundred bytes are kept beyond that, so that nobody can take it back to an
	// earlier state.
	CacheSize int64

	// Logger gets what happens, with the attributes app, role, version and task. Nil:
	// slog.Default().
	Logger *slog.Logger
}

// PinnedRoot returns a function for Config.Roots that pins one root for every app. It is for a
// program with one app: a root that vouches for one app vouches for no other.
func PinnedRoot(root []byte) func(ctx context.Context, app string) ([]byte, error) {
	return func(context.Context, string) ([]byte, error) { return root, nil }
}

// TrustFirstRoot stands in Config.Roots for a pinned root where there is none. The Updater then
// trusts the app's 1.root.json as it first sees it, for the life of the Updater, and logs a warning
// that names it. An attacker who can write to the store before that decides which keys are trusted.
//
// A Roots function may return TrustFirstRoot(ctx, app) for some apps and pin the others.
func TrustFirstRoot(context.Context, string) ([]byte, error) { return nil, errTrustFirst }

// errTrustFirst is how TrustFirstRoot tells the Updater to trust an app's first root. It is an
// error, not an empty root, so that a Roots function that finds nothing by mistake trusts nothing.
var errTrustFirst = errors.New("no root is pinned: the first one seen is trusted")

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() (Config, error) {
	if c.Store == nil {
		return c, errors.New("tufupdate: Config.Store is missing")
	}
	if c.Keys == nil {
		return c, errors.New("tufupdate: Config.Keys is missing")
	}
	if c.Roots == nil {
		return c, errors.New("tufupdate: Config.Roots is missing: pass PinnedRoot(root) for a program with one app, " +
			"a function that returns the pinned root of each app, or TrustFirstRoot to pin none")
	}
	if c.RollTimeout < 0 {
		return c, errors.New("tufupdate: Config.RollTimeout is negative")
	}
	if c.RollTimeout == 0 {
		c.RollTimeout = 10 * time.Minute
	}
	if c.WarnExpiry < 0 {
		return c, errors.New("tufupdate: Config.WarnExpiry is negative")
	}
	if c.WarnExpiry == 0 {
		c.WarnExpiry = 30 * 24 * time.Hour
	}
	if c.Renew != nil {
		renew, err := c.Renew.withDefaults(c.Store)
		if err != nil {
			return c, err
		}
		c.Renew = &renew
	}
	if c.CacheSize == 0 {
		c.CacheSize = 256 << 20
	}
	if c.Tasks == nil {
		c.Tasks = tasks.NewMemory(tasks.MemoryOptions{})
	}
	if c.Settings == nil {
		c.Settings = func(context.Context, string) (Settings, error) { return Settings{}, nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c.guard(), nil
}
