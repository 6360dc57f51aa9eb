package tufupdate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
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
	// all of them. The default is what the repository declares in x-tuf-on-ci-expiry-period, or
	// in x-tuf-on-ci-expiry-period-hours, else DefaultValidity.
	Validity map[string]time.Duration

	// ValidityOf returns the validity of a role that Validity does not name; 0 means the default.
	// A roll calls it once for each role, and once for the prefix of bins. An error fails the roll.
	// If nil, Validity decides.
	ValidityOf func(ctx context.Context, role string) (time.Duration, error)

	// Believe names listed documents of online roles that are signed anew although the role's
	// present keys have not signed them.
	Believe []Belief

	// Online names delegated roles that are online although others than the key provider hold keys
	// of theirs, or of a delegated role above them. No key signs for such a role that another role
	// has too.
	Online []Delegation

	// Uploads names online roles, and prefixes of bins, whose holders upload new versions too. Such
	// a role must share no key with another targets role.
	Uploads []string

	// HashBins has the snapshot list the length and SHA-256 of bins that are signed, as it does of
	// all other roles. There may be thousands.
	HashBins bool

	// BothLayouts has every release write files under both names, with and without a version. It is
	// for the time around a change of consistent_snapshot in root, from before it until no client
	// needs the old names.
	BothLayouts bool

	// Versions are the versions of roles that a snapshot made from targets down lists, where the
	// store lacks what was listed before, or cannot be listed; 0 means that a role is not listed
	// any more. They count only where nothing else does. Take them away afterwards.
	Versions map[string]int64
}

// A Belief names documents that are signed anew whoever has signed them, as long as the snapshot
// lists them with length and SHA-256.
type Belief struct {
	Role   string // the role, or the prefix of bins
	SHA256 string // of the listed document, in hex; empty for bins
	// Until is when the belief ends. Bins need it.
	Until time.Time
}

// A Delegation names a delegated role and the role that declares it.
type Delegation struct {
	Declarer, Role string
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

// word returns what the settings leave to the rules of trust.
func (s Settings) word() published.Word {
	w := published.Word{
		Online: map[published.Delegation]bool{}, Uploads: map[string]bool{}, HashBins: s.HashBins,
		BothLayouts: s.BothLayouts, Versions: s.Versions,
	}
	for _, b := range s.Believe {
		w.Believe = append(w.Believe, published.Belief(b))
	}
	for _, d := range s.Online {
		w.Online[published.Delegation(d)] = true
	}
	for _, role := range s.Uploads {
		w.Uploads[role] = true
	}
	return w
}

// check returns an error if the settings contradict themselves.
func (s Settings) check() error {
	for _, b := range s.Believe {
		sum, err := hex.DecodeString(b.SHA256)
		switch {
		case b.Role == "":
			return errors.New("a belief names no role")
		case b.SHA256 == "" && b.Until.IsZero():
			return fmt.Errorf("the belief in role %s names no SHA-256, and no end", b.Role)
		case b.SHA256 != "" && (err != nil || len(sum) != sha256.Size):
			return fmt.Errorf("the belief in role %s: %q is no SHA-256 in hex", b.Role, b.SHA256)
		}
	}
	for _, d := range s.Online {
		if d.Role == "" || d.Declarer == "" {
			return errors.New("an online role is named without its declarer, or without its name")
		}
	}
	for role, version := range s.Versions {
		if version < 0 || version > tufmeta.MaxVersion {
			return fmt.Errorf("version %d of role %s is no version", version, role)
		}
	}
	return nil
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
		period := role.ExpiryPeriod
		if d != nil {
			period = cmp.Or(period, d.ExpiryPeriod())
		}
		return cmp.Or(period, DefaultValidity(role.Name)), nil
	}
}

// signingPeriod returns how long before a document of a role expires its successor is to be signed,
// as the repository declares it. It returns 0 if it declares none, or none that is shorter than the
// validity: each document would be due as soon as it is signed.
func signingPeriod(role *tufmeta.Role, d *tufmeta.Verified, validity time.Duration) time.Duration {
	period := role.SigningPeriod
	if d != nil {
		period = cmp.Or(period, d.SigningPeriod())
	}
	if period >= validity {
		return 0
	}
	return period
}

// sum tells settings apart, but for ValidityOf.
func (s Settings) sum() [sha256.Size]byte {
	s.ValidityOf = nil
	return sha256.Sum256(fmt.Appendf(nil, "%#v", s))
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
	if err := s.check(); err != nil {
		return Settings{}, errorf(app, "settings", err)
	}
	s.Validity = maps.Clone(s.Validity)
	return s, nil
}
