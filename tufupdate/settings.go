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

// Settings are an operator's decisions for one app. The zero value lets the repository decide.
type Settings struct {
	// NotReady says why nothing may be signed yet, such as "bootstrap is under way". If empty, the
	// app is ready.
	NotReady string

	// Targets says whether the targets role is online. The default is TargetsByKeys.
	Targets TargetsMode

	// Validity is how long a new document of a role is valid, by role name. A prefix of bins names
	// all of them. The default is the repository's x-tuf-on-ci-expiry-period, else DefaultValidity.
	Validity map[string]time.Duration

	// ValidityOf returns the validity of a role that Validity does not name; 0 means the default.
	// A roll calls it once for each role, and once for the prefix of bins. An error fails the roll.
	// If nil, Validity decides.
	ValidityOf func(ctx context.Context, role string) (time.Duration, error)
}

// A TargetsMode says whether an app's targets role is online.
type TargetsMode int

// The modes of the targets role.
const (
	TargetsByKeys  TargetsMode = iota // online if the key provider holds a threshold
	TargetsOnline                     // online: missing keys are an error
	TargetsOffline                    // offline, even if the key provider holds its keys
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

// settings returns a copy of the app's settings, or ErrNotBootstrapped if the app is not ready.
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
