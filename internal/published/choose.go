package published

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// chooseTargets decides which targets roles are to be signed: those that were asked for, and those
// that are signed by replaced keys. It notes which unlisted versions are accepted.
func (a *Assembly) chooseTargets() error {
	if err := a.checkAsked(); err != nil {
		return err
	}
	a.repo.Sign = nil
	a.repo.Accepted = map[string]*Document{}
	var pending error
	for _, n := range a.repo.targets {
		yes, err := a.choose(n)
		switch {
		case errors.Is(err, errPending):
			pending = err
			continue
		case err != nil:
			return err
		}
		if n.fresh() {
			a.repo.Accepted[n.role.Name] = n.doc
		}
		if !yes {
			continue
		}
		h, err := a.signersOf(n)
		switch {
		case errors.Is(err, errPending):
			pending = err
		case err != nil:
			return err
		case h.Err != nil && a.isAsked(n):
			return h.Err
		case h.Err != nil:
			a.repo.warn("%v", h.Err)
		default:
			a.repo.Sign = append(a.repo.Sign, a.base(n, h))
		}
	}
	return pending
}

// base returns what the next version of a targets role follows.
func (a *Assembly) base(n *node, h custody.Holding) Base {
	taken := int64(0)
	if n.find != nil {
		taken = n.find.taken
	}
	return Base{
		role: n.role, bins: n.bins(), document: n.doc, above: a.above(n.role, n.doc, taken), signers: h.Signers,
		pin: a.pins(n),
	}
}

// isAsked reports whether a role is to be signed.
func (a *Assembly) isAsked(n *node) bool {
	return a.asked[n.role.Name] || a.isPrefix(n) && a.asked[n.bins()]
}

// isPrefix reports whether the prefix of a bin names it: the bins of the declarer nearest to
// targets have that name, unless a role has it.
func (a *Assembly) isPrefix(n *node) bool {
	return n.bin && a.prefixes[n.prefix] == n.by && !a.declares(n.prefix)
}

// checkAsked returns ErrUnknownRole if a name that was asked for is no role and no prefix of bins.
func (a *Assembly) checkAsked() error {
	missing := maps.Clone(a.asked)
	for _, n := range a.repo.targets {
		delete(missing, n.role.Name)
		if a.isPrefix(n) {
			delete(missing, n.bins())
		}
	}
	for _, role := range slices.Sorted(maps.Keys(missing)) {
		if !missing[role] {
			continue
		}
		if a.wasListed(role) { // below a role that cannot be trusted
			for _, n := range a.repo.targets {
				if n.err != nil {
					return n.err
				}
			}
		}
		return fmt.Errorf("role %q: %w", role, ErrUnknownRole)
	}
	return nil
}

// wasListed reports whether the snapshot lists a role, or bins of that prefix.
func (a *Assembly) wasListed(role string) bool {
	if a.repo.Snapshot == nil {
		return false
	}
	for name := range a.repo.Snapshot.verified.ListedRoles() {
		if name == role || binPrefix(name) == role {
			return true
		}
	}
	return false
}

// choose reports whether a targets role is to be signed. A role that was asked for and cannot be
// signed is an error. Of other roles that clients cannot use it warns.
func (a *Assembly) choose(n *node) (bool, error) {
	if a.isAsked(n) {
		if n.doc == nil || n.err != nil && !n.fresh() { // clients could not read its successor either
			return false, n.err
		}
		if n.latest != nil && n.latest.Version() > n.doc.Version() {
			if h, err := a.signersOf(n); err != nil || h.Err != nil {
				return false, cmp.Or(err, h.Err)
			}
			return false, a.reject(n.role.Name, n.latest.file, errors.New("its holders have uploaded it, and it cannot be "+
				"accepted yet (see the warnings): complete it, upload the next version, or delete it"))
		}
		return true, nil
	}
	if n.doc == nil {
		if n.role.Problem() == nil { // of which the document that declares it has warned
			a.repo.warn("%v", n.err)
		}
		return false, nil
	}
	return n.doc.Believed(), nil
}

// A Target is one targets role as a survey shows it.
type Target struct {
	Role   *tufmeta.Role
	Bins   string    // the prefix of the delegation's bins if it is one of them, else ""
	Listed *Document // the listed version; nil if it does not count
	Err    error     // what is wrong with the listed version
	Named  bool      // the operator has named the role as online

	node *node
}

// Targets returns the targets roles that were judged, those nearest to targets first.
func (r *Repository) Targets() []Target {
	targets := make([]Target, len(r.targets))
	for i, n := range r.targets {
		targets[i] = Target{Role: n.role, Bins: n.bins(), Err: n.err, Named: r.judge.in.Word.online(n), node: n}
		if n.err == nil {
			targets[i].Listed = n.listed
		}
	}
	return targets
}

// ListedFiles returns the names of the snapshot and of the documents that it lists, without those
// of bins, as far as they count.
func (r *Repository) ListedFiles() (names []string) {
	if r.Snapshot != nil {
		names = append(names, r.Snapshot.file.Name)
	}
	for _, n := range r.targets {
		if !n.bin && n.listed != nil {
			names = append(names, n.listed.file.Name)
		}
	}
	return names
}

// Holding returns who signs for a role. It may need answers of the key provider: then ask it, and
// call again.
func (r *Repository) Holding(t Target, ring Custody) (custody.Holding, []custody.Question) {
	a := r.judge
	a.ring, a.need = ring, Need{}
	h, _ := a.signersOf(t.node) // an error says that it is pending, or what the holding says
	return h, a.need.Roles
}
