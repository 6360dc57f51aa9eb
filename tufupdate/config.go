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

// A Config is what an [Updater] works with. Store and Keys are required.
type Config struct {
	// Store holds the repositories. Every writer of a repository has to write through a store that
	// is atomic among all of them.
	Store storage.Store

	// Keys signs. A role is online if it holds a threshold of the role's keys.
	Keys keys.Provider

	// Tasks keeps what ForceOnline accepts. Nil: a tasks.Memory with its defaults, which forgets
	// everything when the process ends.
	Tasks tasks.Store

	// Roots returns the root that an app is trusted by: any version of it, from where on the
	// repository's own roots are followed. Nil: the app's 1.root.json as it is first seen is
	// trusted for the life of the Updater, which is logged; whoever can write to an empty store
	// then decides who is trusted. An error that wraps ErrNotBootstrapped says that there is no
	// such app.
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

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() (Config, error) {
	if c.Store == nil {
		return c, errors.New("tufupdate: Config.Store is missing")
	}
	if c.Keys == nil {
		return c, errors.New("tufupdate: Config.Keys is missing")
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
