package tufupdate

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
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

// Settings are an operator's decisions for one app. The zero value leaves all to the repository.
type Settings struct {
	// NotReady says why nothing may be signed yet, such as "bootstrap is under way". Empty: the app
	// is ready.
	NotReady string

	// Targets says whether the targets role is online. The default is whether the key provider
	// holds a threshold of its keys.
	Targets TargetsMode

	// Validity is how long a new document of a role is valid, by role name; the bins of a
	// delegation go by their name or their prefix. Roles that are missing go by the repository's
	// x-tuf-on-ci-expiry-period, else DefaultValidity.
	Validity map[string]time.Duration

	// ValidityOf, if not nil, is asked for the roles that Validity does not name, once a roll; for
	// the bins of a delegation by their prefix. 0 leaves it to the repository. An error fails the
	// roll.
	ValidityOf func(ctx context.Context, role string) (time.Duration, error)
}

// A TargetsMode says where the keys of an app's targets role are.
type TargetsMode int

// Where the keys of targets are.
const (
	TargetsByKeys  TargetsMode = iota // online if the key provider holds a threshold
	TargetsOnline                     // online: missing keys are an error
	TargetsOffline                    // offline, whatever keys are at hand
)

// DefaultValidity returns how long a new document of a role is valid where neither the settings nor
// the repository say it: the timestamp a day, the snapshot a week, targets and delegated roles
// ninety days.
func DefaultValidity(role string) time.Duration {
	const day = 24 * time.Hour
	switch role {
	case tufmeta.Timestamp:
		return day
	case tufmeta.Snapshot:
		return 7 * day
	}
	return 90 * day
}

// validity returns how long a new document of a role is to be valid.
func (k *keyring) validity(ctx context.Context, role *tufmeta.Role, binPrefix string,
	published *tufmeta.Verified) (time.Duration, error) {
	for _, name := range []string{role.Name, binPrefix} {
		if v := k.settings.Validity[name]; v > 0 {
			return v, nil
		}
	}
	if k.settings.ValidityOf != nil {
		v, err := k.validityOf(ctx, cmp.Or(binPrefix, role.Name))
		if v > 0 || err != nil {
			return v, err
		}
	}
	if v := role.ExpiryPeriod; v > 0 {
		return v, nil
	}
	if v := published.ExpiryPeriod(); v > 0 {
		return v, nil
	}
	return DefaultValidity(role.Name), nil
}

// validityOf asks the settings once for each name.
func (k *keyring) validityOf(ctx context.Context, name string) (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.validities[name]; ok {
		return v, nil
	}
	v, err := guarded(func() (time.Duration, error) { return k.settings.ValidityOf(ctx, name) })
	if err != nil {
		return 0, errorf(k.app, "settings: validity of role "+name, err)
	}
	k.validities[name] = v
	return v, nil
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
	return c, nil
}

// settings returns a copy of the app's settings, or ErrNotBootstrapped if they say that it is not
// ready.
func (u *Updater) settings(ctx context.Context, app string) (Settings, error) {
	s, err := u.config.Settings(ctx, app)
	if err != nil {
		return Settings{}, errorf(app, "settings", err)
	}
	if s.NotReady != "" {
		return Settings{}, errorf(app, s.NotReady, ErrNotBootstrapped)
	}
	s.Validity = maps.Clone(s.Validity)
	return s, nil
}
