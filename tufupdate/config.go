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

// A Config configures an [Updater]. Store, Keys and Roots are required.
type Config struct {
	// Store holds the repositories. An app's files lie below its name, and their names follow the
	// specification: acme/desktop/1.root.json, acme/desktop/timestamp.json. Any TUF tool may have
	// written them. Every writer of a repository must use a store that is atomic among all writers.
	Store storage.Store

	// Keys signs. A role is online if Keys holds a threshold of the role's keys.
	Keys keys.Provider

	// Tasks keeps the tasks that ForceOnline accepts. If nil, tasks.Memory with its defaults keeps
	// them, which forgets everything when the process ends.
	Tasks tasks.Store

	// Roots returns the pinned root of an app: a version of root that the operator trusts. The
	// Updater follows the repository's own roots from it. Any version will do; the newest protects
	// best. If there is no such app, the error wraps ErrNotBootstrapped.
	//
	// PinnedRoot serves a program with one app. TrustFirstRoot, passed by name, pins nothing.
	Roots func(ctx context.Context, app string) ([]byte, error)

	// Memory keeps which versions of each app were published, so that a process that has just
	// started signs nothing older. It holds one small object an app, <app>.json. An Updater reads
	// it before it rolls, and writes it once a release is out. If that object cannot be read,
	// nothing is signed for the app until an operator restores it, or calls Forget.
	//
	// Use a store that the writers of Store cannot write to: sqlstore beside the tasks, a folder
	// elsewhere, or another bucket. Updaters that work on the same apps share it. If nil, versions
	// are forgotten when the process ends.
	Memory storage.Store

	// Settings returns an operator's decisions for an app. The Updater calls it for each request
	// and for each roll, which fail if it does. If nil, the repository decides everything.
	Settings func(ctx context.Context, app string) (Settings, error)

	// Renew has Run renew online roles before they expire. If nil, Run renews nothing.
	Renew *Renew

	// AcceptOnly says that other processes work the tasks that this one accepts. Otherwise a
	// warning is logged if tasks are accepted and Run is not called.
	AcceptOnly bool

	// WarnExpiry is the time before a root or an offline role expires from which Status and the
	// renewal warn. The default is thirty days.
	WarnExpiry time.Duration

	// RollTimeout bounds one roll, and one check of an app by the renewal. The default is ten
	// minutes.
	RollTimeout time.Duration

	// CacheSize bounds the cache of apps' files, in bytes. An app takes about the size of its files
	// and a few kilobytes, or twice the size where a file is not in canonical form. The default is
	// 256 MiB; a negative size caches nothing.
	//
	// A roll of a cached app does not read the app's files. Before the roll publishes, it confirms
	// that no other writer has published. Otherwise the roll begins again with the store's files.
	// A damaged file may so be replaced by its next version, unnoticed. Status reads every file.
	//
	// In any case the Updater keeps some five hundred bytes for each app that it has seen, so that
	// an attacker cannot take the app back to an earlier state while the process lives.
	CacheSize int64

	// Logger logs events with the attributes app, role, version and task. The default is
	// slog.Default().
	Logger *slog.Logger
}

// PinnedRoot returns a function for Config.Roots that pins one root for every app. It is for a
// program with one app: a root that vouches for one app vouches for no other.
func PinnedRoot(root []byte) func(ctx context.Context, app string) ([]byte, error) {
	return func(context.Context, string) ([]byte, error) { return root, nil }
}

// TrustFirstRoot is a function for Config.Roots that pins nothing. The Updater trusts the first
// 1.root.json of the app that it sees, for the Updater's life, and logs a warning with its hash. An
// attacker who can write to the store before that decides which keys are trusted.
//
// A Roots function may return TrustFirstRoot(ctx, app) for some apps and pin the others.
func TrustFirstRoot(context.Context, string) ([]byte, error) { return nil, errTrustFirst }

// errTrustFirst tells the Updater to trust an app's first root; TrustFirstRoot returns it. It is an
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
	return c, nil
}
