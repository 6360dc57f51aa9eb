package tufupdate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

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

// policy returns what the settings say about keys.
func (s Settings) policy() custody.Policy {
	switch s.Targets {
	case TargetsOnline:
		return custody.TargetsOnline
	case TargetsOffline:
		return custody.TargetsOffline
	}
	return custody.TargetsByKeys
}

// validity returns the function that says how long new documents are valid. It asks ValidityOf once
// for each name.
func (s Settings) validity() release.Validity {
	var mu sync.Mutex
	answers := map[string]time.Duration{}
	asked := func(ctx context.Context, name string) (time.Duration, error) {
		mu.Lock()
		defer mu.Unlock()
		if v, ok := answers[name]; ok || s.ValidityOf == nil {
			return v, nil
		}
		v, err := s.ValidityOf(ctx, name)
		if err != nil {
			return 0, fmt.Errorf("settings: validity of role %s: %w", name, err)
		}
		answers[name] = v
		return v, nil
	}
	return func(ctx context.Context, role *tufmeta.Role, bins string, d *tufmeta.Verified) (time.Duration, error) {
		for _, name := range []string{role.Name, bins} {
			if v := s.Validity[name]; v > 0 {
				return v, nil
			}
		}
		if v, err := asked(ctx, cmp.Or(bins, role.Name)); v > 0 || err != nil {
			return v, err
		}
		return cmp.Or(role.ExpiryPeriod, d.ExpiryPeriod(), DefaultValidity(role.Name)), nil
	}
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
