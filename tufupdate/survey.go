package tufupdate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A survey gathers a Status, and which roles are due.
type survey struct {
	ring       *custody.Keyring
	validity   release.Validity
	status     Status
	now        time.Time
	warnBefore time.Duration   // a role expires
	warned     map[string]bool // what a warning is about
	online     []surveyed      // roles that can be signed
	broken     error           // the first thing that is wrong
}

// A surveyed is one role as it was judged.
type surveyed struct {
	role     *tufmeta.Role
	bins     string            // the prefix of the delegation's bins if the role is one of them, else ""
	document *tufmeta.Verified // nil if it could not be read
	problem  error             // what is wrong with the document
	renewed  bool              // the next roll puts another in the place of the document
	holding  custody.Holding   // who signs for the role
}

// name names the role. The bins of a delegation share a name, since there may be thousands.
func (r surveyed) name() string { return cmp.Or(r.bins, r.role.Name) }

// survey judges all that is published, and then what is uploaded. After an error the survey holds
// what was judged until then. It is nil if not even root was.
func (u *Updater) survey(ctx context.Context, app string, settings Settings, set *repofiles.Set, in published.Input,
) (*survey, *published.Repository, error) {
	l := u.loader(app, settings)
	in.Survey, in.Depth = true, published.ToSnapshot
	repo, err := l.Load(ctx, set, in)
	if repo == nil {
		return nil, nil, exit(app, err)
	}
	s := &survey{
		ring: l.Ring, validity: settings.validity(), status: Status{App: app}, now: time.Now(),
		warnBefore: u.config.WarnExpiry,
	}
	whole, err := s.topLevel(ctx, repo, err)
	if err != nil || !whole {
		return s, repo, err
	}
	// What comes now may take long. The roles above are surveyed already.
	in.Depth = published.ToTargets
	deeper, err := l.Load(ctx, set, in)
	if err != nil {
		return s, repo, exit(app, err)
	}
	err = s.targets(ctx, deeper)
	s.status.Warnings = append(s.status.Warnings, deeper.Warnings...)
	if err != nil {
		return s, deeper, err
	}
	in.Depth = published.ToUploads
	uploads, err := l.Load(ctx, set, in)
	if err != nil {
		return s, deeper, exit(app, err)
	}
	s.status.Warnings = append(s.status.Warnings, uploads.Ignored()...)
	return s, deeper, nil
}

// topLevel surveys root, timestamp and snapshot, as far as they could be judged before err. It
// reports whether what is below can be judged.
func (s *survey) topLevel(ctx context.Context, repo *published.Repository, err error) (whole bool, failure error) {
	problem, failure := published.Untrusted(err)
	top := repo.Root().Roles
	if err := s.ask(ctx, surveyed{role: top[tufmeta.Root], document: repo.Root().Verified}); err != nil {
		return false, err
	}
	for _, below := range []struct {
		role     string
		document *published.Document
	}{{tufmeta.Timestamp, repo.Timestamp}, {tufmeta.Snapshot, repo.Snapshot}} {
		r := surveyed{role: top[below.role], document: below.document.Verified()}
		switch {
		case r.document != nil:
		case failure != nil:
			return false, exit(s.status.App, failure)
		case problem == nil:
			r.problem, r.renewed = repo.Derived, true
		default:
			r.problem = problem
		}
		if err := s.ask(ctx, r); err != nil || r.problem != nil && !r.renewed {
			return false, err
		}
	}
	return true, nil
}

// ask adds a top-level role, having asked who signs for it.
func (s *survey) ask(ctx context.Context, r surveyed) (err error) {
	if r.holding, err = s.ring.Of(ctx, custody.Question{Role: r.role}); err != nil {
		return err
	}
	return s.add(ctx, r)
}

// targets surveys the targets roles: targets first, then the delegated roles by name.
func (s *survey) targets(ctx context.Context, repo *published.Repository) error {
	targets := repo.Targets()
	slices.SortFunc(targets[1:], func(a, b published.Target) int { return strings.Compare(a.Role.Name, b.Role.Name) })
	for _, t := range targets {
		r := surveyed{
			role: t.Role, bins: t.Bins, problem: t.Err, document: t.Listed.Verified(),
			renewed: t.Listed != nil && t.Listed.Believed(),
		}
		var err error
		if r.holding, err = s.holding(ctx, repo, t); err != nil {
			return err
		}
		if err := s.add(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// holding returns who signs for a targets role.
func (s *survey) holding(ctx context.Context, repo *published.Repository, t published.Target) (custody.Holding, error) {
	for {
		h, questions := repo.Holding(t, s.ring)
		if len(questions) == 0 {
			return h, nil
		}
		for _, q := range questions {
			if _, err := s.ring.Of(ctx, q); err != nil {
				return h, exit(s.status.App, err)
			}
		}
	}
}

// add adds a role.
func (s *survey) add(ctx context.Context, r surveyed) error {
	row := RoleStatus{Role: r.role.Name}
	online, unusable := s.usable(ctx, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case unusable != nil:
		s.warn("keys of "+r.name(), unusable.Error())
		if !online {
			s.broken = cmp.Or(s.broken, exit(s.status.App, unusable))
		}
	case r.holding.State == custody.Offline && len(r.holding.Signers) > 0:
		s.warn("keys of "+r.name(), r.holding.Err.Error())
	}
	row.Online = online
	signs := row.Online && row.Role != tufmeta.Root // which is never signed here, whatever keys there are
	if d := r.document; d != nil {
		row.Version, row.Expires, row.Verified = d.Version(), d.Expires().UTC(), r.problem == nil && !r.renewed
		left := int64(row.Expires.Sub(s.now) / time.Second)
		row.ExpiresIn = &left
		if r.renewed {
			row.Problem = "its present keys have not signed it"
		}
		if !signs {
			s.warnExpiry(r, row, unusable)
		}
	}
	if signs && (r.document != nil || r.renewed) {
		s.online = append(s.online, r)
	}
	if r.problem != nil {
		problem := exit(s.status.App, r.problem)
		row.Problem = problem.Error()
		s.broken = cmp.Or(s.broken, problem)
	}
	s.status.Roles = append(s.status.Roles, row)
	return nil
}

// usable reports whether a role is online. Its signers are asked for their public keys. An error
// says why that is not known, or which keys cannot be used.
func (s *survey) usable(ctx context.Context, r surveyed) (bool, error) {
	switch h := r.holding; h.State {
	case custody.Unknown:
		return false, h.Err
	case custody.Online:
		if err := h.Check(ctx, r.role); err != nil {
			return false, err
		}
		return true, h.Failed
	}
	return false, nil
}

// warn adds a warning, once for each thing that it is about.
func (s *survey) warn(about, text string) {
	if s.warned == nil {
		s.warned = map[string]bool{}
	}
	if !s.warned[about] {
		s.warned[about] = true
		s.status.Warnings = append(s.status.Warnings, text)
	}
}

// warnExpiry warns of a role that expires soon and that people have to see to.
func (s *survey) warnExpiry(r surveyed, row RoleStatus, unusable error) {
	left := row.Expires.Sub(s.now)
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
	s.warn("expiry of "+r.name(), fmt.Sprintf("role %s: version %d %s at %s, and %s", row.Role, row.Version, verb,
		row.Expires.Format(time.RFC3339), why))
}

// due returns the online roles that are to be renewed, bins by their prefix, and when the first of
// all online roles is to be. lead is how long before it expires a role is renewed. If the validity
// of a role cannot be found out, that is an error of this role alone.
func (s *survey) due(ctx context.Context, lead func(validity time.Duration) time.Duration) (roles []string,
	first time.Time,
) {
	for _, r := range s.online {
		at := s.now // clients reject what is published
		if !r.renewed {
			var err error
			if at, err = s.dueAt(ctx, r, lead); err != nil {
				s.broken = cmp.Or(s.broken, exit(s.status.App, err))
				continue
			}
		}
		if !at.After(s.now) && !slices.Contains(roles, r.name()) {
			roles = append(roles, r.name())
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	slices.Sort(roles)
	return roles, first
}

// dueAt returns when a role is to be renewed.
func (s *survey) dueAt(ctx context.Context, r surveyed, lead func(time.Duration) time.Duration) (time.Time, error) {
	validity, err := s.validity(ctx, r.role, r.bins, r.document)
	if err != nil {
		return time.Time{}, err
	}
	return r.document.Expires().Add(-max(lead(validity), signingPeriod(r.role, r.document, validity))), nil
}
