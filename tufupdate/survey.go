package tufupdate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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
	settings   Settings
	validity   release.Validity
	lead       func(validity time.Duration) time.Duration // how long before it expires a role is due
	status     Status
	now        time.Time
	warnBefore time.Duration            // a role expires
	warned     map[string]bool          // what a warning is about
	troubles   map[string]int           // where a trouble is in the status, by its key
	judged     map[string]bool          // roles, and prefixes of bins
	overdue    func(due time.Time) bool // reports whether a role should have been renewed by now
	agrees     bool                     // the clock of the store is that of this machine
	checked    map[string]usability

	due   map[string]bool // roles that are to be renewed now and can be, bins by their prefix
	first time.Time       // when the first role is to be signed here, whether its keys are there or not
	event time.Time       // when time alone changes something: a role is due, expires, or is to be warned of
}

// A surveyed is one role as it was judged.
type surveyed struct {
	role     *tufmeta.Role
	bins     string            // the prefix of the delegation's bins if the role is one of them, else ""
	document *tufmeta.Verified // nil if it could not be read
	problem  error             // what is wrong with the document
	renewed  bool              // the next roll puts another in the place of the document
	named    bool              // the operator has named the role as online
	validity time.Duration     // for which the document was signed here; 0 if that is not known
	holding  custody.Holding   // who signs for the role
}

// name names the role. The bins of a delegation share a name, since there may be thousands.
func (r surveyed) name() string { return cmp.Or(r.bins, r.role.Name) }

// A usability says whether the keys of a role can be used.
type usability struct {
	online  bool
	holding custody.Holding // with the keys that cannot
	err     error           // why the role is not online, or which keys cannot be used although it is
}

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
		ring: l.Ring, settings: settings, validity: settings.validity(), lead: u.lead(app), status: Status{App: app},
		now: time.Now(), warnBefore: u.config.WarnExpiry, warned: map[string]bool{}, troubles: map[string]int{},
		due: map[string]bool{}, checked: map[string]usability{}, judged: map[string]bool{},
		overdue: u.overdue(), agrees: release.ClocksAgree(u.store),
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
	uploaded, err := l.Load(ctx, set, in)
	if err != nil {
		return s, deeper, exit(app, err)
	}
	s.uploads(uploaded)
	return s, uploaded, nil
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
		r := surveyed{
			role: top[below.role], document: below.document.Verified(), validity: repo.SignedFor(below.document),
		}
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
			renewed: t.Listed != nil && t.Listed.Believed(), named: t.Named, validity: repo.SignedFor(t.Listed),
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

// uploads surveys unlisted versions of targets roles. One that holders have signed, and that cannot
// be accepted, is a trouble: they have to complete it.
func (s *survey) uploads(repo *published.Repository) {
	for _, u := range repo.Uploads() {
		upload := Upload{Role: u.Role, Version: u.Version}
		if u.Reason != nil {
			upload.Waits = u.Reason.Error()
		}
		if u.Reason != nil && u.Signed {
			s.troubleOf(cmp.Or(u.Bins, u.Role), CodeUpload, ActorHolders, u.String())
		}
		s.status.Uploads = append(s.status.Uploads, upload)
	}
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
	keys := s.usable(ctx, r)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	row := RoleStatus{Role: r.role.Name, Online: keys.online}
	if d := r.document; d != nil {
		row.Version, row.Expires, row.Verified = d.Version(), d.Expires().UTC(), r.problem == nil && !r.renewed
		left := int64(row.Expires.Sub(s.now) / time.Second)
		row.ExpiresIn = &left
		if r.renewed {
			row.Problem = "its present keys have not signed it"
		}
	}
	if r.problem != nil {
		row.Problem = exit(s.status.App, r.problem).Error()
	}
	s.judged[r.name()] = true
	if err := s.schedule(ctx, r, &row); err != nil {
		s.trouble(r, CodeUnavailable, ActorUpdater, fmt.Sprintf("role %s: the settings do not say how long it is valid",
			r.name())).Why = err.Error()
	}
	if r.document != nil {
		s.awaits(row.Expires)
		s.awaits(row.Expires.Add(-s.warnBefore))
	}
	s.diagnose(r, row, keys)
	s.status.Roles = append(s.status.Roles, row)
	return nil
}

// schedule finds out when a role is to be renewed, if this process is to sign it.
func (s *survey) schedule(ctx context.Context, r surveyed, row *RoleStatus) error {
	switch {
	case !s.isOurs(r, *row) || r.document == nil && !r.renewed:
		return nil
	case r.renewed: // clients reject what is published
		row.Due = s.now
	default:
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		validity, err := s.validity(ctx, r.role, r.bins, r.document)
		if err != nil {
			return err
		}
		row.Due = row.Expires.Add(-max(s.lead(validity), signingPeriod(r.role, r.document, validity)))
		if s.agrees && r.isTooLong(s.now) { // its signer's clock was ahead
			row.Due = s.now
		}
	}
	row.Due = row.Due.Truncate(time.Second)
	if s.first.IsZero() || row.Due.Before(s.first) {
		s.first = row.Due
	}
	s.awaits(row.Due)
	signs := row.Online && (r.problem == nil || r.renewed)
	if signs && !row.Due.After(s.now) {
		s.due[r.name()] = true
	}
	return nil
}

// awaits notes a time that has not come.
func (s *survey) awaits(at time.Time) {
	if at.After(s.now) && (s.event.IsZero() || at.Before(s.event)) {
		s.event = at
	}
}

// isTooLong reports whether a document lives longer than it was signed for.
func (r surveyed) isTooLong(now time.Time) bool {
	return r.validity > 0 && r.document.Expires().Sub(now) > r.validity+clockJitter
}

// isOurs reports whether a role is to be signed here. The timestamp and the snapshot always are,
// and so is what the operator has named: that their keys are missing is a failure. Of other roles
// it is a decision.
func (s *survey) isOurs(r surveyed, row RoleStatus) bool {
	switch row.Role {
	case tufmeta.Root: // whatever keys there are
		return false
	case tufmeta.Timestamp, tufmeta.Snapshot:
		return true
	case tufmeta.Targets:
		return row.Online || s.settings.Targets == TargetsOnline
	}
	return row.Online || r.named
}

// usable finds out whether a role is online. Its signers are asked for their public keys, once for
// all bins of a delegation.
func (s *survey) usable(ctx context.Context, r surveyed) usability {
	key := fmt.Sprintf("%q %d %s", r.name(), r.holding.State, r.role.Fingerprint())
	if u, ok := s.checked[key]; ok {
		return u
	}
	u := usability{holding: r.holding}
	switch u.holding.State {
	case custody.Unknown:
		u.err = u.holding.Err
	case custody.Online:
		u.err = u.holding.Check(ctx, r.role)
		u.online = u.err == nil
		u.err = cmp.Or(u.err, u.holding.Failed)
	}
	s.checked[key] = u
	return u
}

// roles returns what is to be rolled now: the online roles that are due, and the snapshot if it is
// to list an upload.
func (s *survey) roles() []string {
	roles := maps.Clone(s.due)
	for _, upload := range s.status.Uploads {
		if upload.Waits == "" {
			roles[tufmeta.Snapshot] = true
		}
	}
	return slices.Sorted(maps.Keys(roles))
}

// warn adds a warning, once for each thing that it is about.
func (s *survey) warn(about, text string) {
	if !s.warned[about] {
		s.warned[about] = true
		s.status.Warnings = append(s.status.Warnings, text)
	}
}
