package tufupdate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A Status is what an app's published repository looks like to somebody who verifies it from the
// pinned root.
type Status struct {
	App      string       `json:"app"`
	Roles    []RoleStatus `json:"roles"` // root, timestamp, snapshot, targets, then delegated roles by name
	Warnings []string     `json:"warnings,omitempty"`
}

// A RoleStatus is one role of a Status.
type RoleStatus struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`          // as published; 0 if it could not be read
	Expires time.Time `json:"expires,omitzero"` // UTC; zero if it could not be read
	// seconds from now, negative once it has expired; nil if it could not be read
	ExpiresIn *int64 `json:"expires_in,omitempty"`
	// it is signed by its role's threshold and is what the role above it lists
	Verified bool `json:"verified"`
	// the key provider holds a threshold of its keys, and they can be used
	Online  bool   `json:"online"`
	Problem string `json:"problem,omitempty"` // why it is not verified
}

// Status reads an app's whole repository back and verifies it as a client would, every delegated
// role and bin included. What does not verify shows in the result; roles below it are missing
// there. Signers are asked for their public keys. A role of which the provider cannot say whether
// it has the keys, or of which they are not the ones declared, is not online, with a warning. There
// is one too for a root or an offline role that expires within Config.WarnExpiry. Errors are those
// of the store and the settings, ErrInvalidApp, ErrNotBootstrapped, and a *VerificationError for
// root.
func (u *Updater) Status(ctx context.Context, app string) (Status, error) {
	if err := CheckApp(app); err != nil {
		return Status{}, err
	}
	settings, err := u.settings(ctx, app)
	if err != nil {
		return Status{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what was read ahead in vain
	s, _, err := u.survey(ctx, newView(u.store, app, tufmeta.Targets, nil), settings)
	if err != nil {
		return Status{}, err
	}
	return s.status, nil
}

// survey looks at all that is published. After an error there is what it has seen until then, if
// anything.
func (u *Updater) survey(ctx context.Context, v *view, settings Settings) (*survey, *published, error) {
	p, err := u.followRoots(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	s := &survey{ring: u.keyring(v.app, settings), status: Status{App: v.app}, now: time.Now(),
		warnBefore: u.config.WarnExpiry}
	err = s.roles(ctx, u, p)
	s.status.Warnings = append(s.status.Warnings, p.warnings...)
	return s, p, err
}

// A survey gathers a Status.
type survey struct {
	ring       *keyring
	status     Status
	now        time.Time
	warnBefore time.Duration   // a role expires
	warned     map[string]bool // what a warning is about
	online     []onlineRole
	broken     error // the first thing that is wrong
}

// An onlineRole is one that can be signed.
type onlineRole struct {
	role *tufmeta.Role
	bins string
	doc  *document
}

// roles surveys the roles from the top down, as far as they can be trusted.
func (s *survey) roles(ctx context.Context, u *Updater, p *published) error {
	if err := s.add(ctx, p.root().Roles[tufmeta.Root], &document{Verified: p.root().Verified}, nil); err != nil {
		return err
	}
	problem, err := untrusted(u.loadTimestamp(ctx, p))
	if err != nil {
		return err
	}
	if err := s.add(ctx, p.root().Roles[tufmeta.Timestamp], p.timestamp, problem); err != nil || problem != nil {
		return err
	}
	if problem, err = untrusted(u.loadSnapshot(ctx, p)); err != nil {
		return err
	}
	if err := s.add(ctx, p.root().Roles[tufmeta.Snapshot], p.snapshot, problem); err != nil || problem != nil {
		return err
	}
	t := newTree(p, s.ring, nil)
	t.every = true
	if err := t.walk(ctx); err != nil {
		return err
	}
	nodes := t.all()
	slices.SortFunc(nodes[1:], func(a, b *node) int { return strings.Compare(a.role.Name, b.role.Name) })
	for _, n := range nodes {
		if err := s.addNode(ctx, t, n); err != nil {
			return err
		}
	}
	return nil
}

// addNode adds a targets role as it is listed.
func (s *survey) addNode(ctx context.Context, t *tree, n *node) error {
	var listed *document
	if len(n.candidates) > 0 && n.candidates[0].Version() == n.listed && n.problem == nil {
		listed = n.candidates[0]
	}
	return s.addRole(ctx, n.role, n.prefix(), listed, n.problem, t.entitled(ctx, n))
}

// add adds a top-level role.
func (s *survey) add(ctx context.Context, role *tufmeta.Role, d *document, problem error) error {
	return s.addRole(ctx, role, "", d, problem, nil)
}

// addRole adds a role with its document, nil if that could not be read, and what is wrong with it.
// refused is why it is not signed with the keys that are at hand.
func (s *survey) addRole(ctx context.Context, role *tufmeta.Role, bins string, d *document, problem,
	refused error) error {
	r := RoleStatus{Role: role.Name}
	online, unusable := s.usable(ctx, role, bins)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case unusable != nil:
		s.warn("keys of "+cmp.Or(bins, role.Name), unusable.Error())
		s.broken = cmp.Or(s.broken, unusable)
	case online && refused != nil:
		s.warn("refusal of "+cmp.Or(bins, role.Name), refused.Error())
	case online:
		r.Online = true
	}
	if d != nil {
		r.Version, r.Expires, r.Verified = d.Version(), d.Expires().UTC(), problem == nil && !d.rotated
		left := int64(r.Expires.Sub(s.now) / time.Second)
		r.ExpiresIn = &left
		s.expiry(r, role, bins, d, unusable)
		if d.rotated {
			r.Problem = "it is signed by keys that the role no longer has"
		}
	}
	if problem != nil {
		r.Problem = problem.Error()
		s.broken = cmp.Or(s.broken, problem)
	}
	s.status.Roles = append(s.status.Roles, r)
	return nil
}

// usable reports whether a role is online, its signers being asked for their public keys. An error
// is why that is not known, or they cannot be used.
func (s *survey) usable(ctx context.Context, role *tufmeta.Role, bins string) (bool, error) {
	signers, err := s.ring.online(ctx, role, bins)
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrTargetsOffline) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, signer := range signers {
		if err := signer.Check(ctx); err != nil {
			return false, fmt.Errorf("role %s: %w", role.Name, err)
		}
	}
	return true, nil
}

// warn adds a warning, once for each thing that it is about. Bins share theirs, for there may be
// very many.
func (s *survey) warn(about, text string) {
	if s.warned == nil {
		s.warned = map[string]bool{}
	}
	if !s.warned[about] {
		s.warned[about] = true
		s.status.Warnings = append(s.status.Warnings, text)
	}
}

// expiry notes when a role has to be signed: by a warning if that is up to people. unusable is why
// its keys, which may be online, cannot be used.
func (s *survey) expiry(r RoleStatus, role *tufmeta.Role, bins string, d *document, unusable error) {
	if r.Online && role.Name != tufmeta.Root { // which is never signed here, whatever keys are at hand
		s.online = append(s.online, onlineRole{role, bins, d})
		return
	}
	left := r.Expires.Sub(s.now)
	if left > s.warnBefore {
		return
	}
	verb, why := "expires", "its keys are offline: their holders have to sign it anew"
	if left <= 0 {
		verb = "has expired"
	}
	if unusable != nil {
		why = "its keys cannot be used"
	}
	s.warn("expiry of "+cmp.Or(bins, r.Role), fmt.Sprintf("role %s: version %d %s at %s, and %s",
		r.Role, r.Version, verb, r.Expires.Format(time.RFC3339), why))
}

// due returns the online roles that are to be renewed, bins by their prefix, given how long before
// they expire, and when the first of all is to be. A role of which it is not known how long it is
// to be valid is something that is wrong, and nothing for the others.
func (s *survey) due(ctx context.Context, lead func(validity time.Duration) time.Duration) (roles []string,
	first time.Time) {
	for _, o := range s.online {
		validity, err := s.ring.validity(ctx, o.role, o.bins, o.doc.Verified)
		if err != nil {
			s.broken = cmp.Or(s.broken, err)
			continue
		}
		at := o.doc.Expires().Add(-lead(validity))
		if o.doc.rotated {
			at = s.now // clients do not accept what the replaced keys have signed
		}
		if name := cmp.Or(o.bins, o.role.Name); !at.After(s.now) && !slices.Contains(roles, name) {
			roles = append(roles, name)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	slices.Sort(roles)
	return roles, first
}
