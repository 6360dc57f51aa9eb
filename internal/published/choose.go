package published

import (
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
	a.repo.Accepted = map[string]*tufmeta.Document{}
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
			a.repo.Accepted[n.role.Name] = n.doc.verified.Document
		}
		if yes {
			h, _ := a.holding(n.role, n.bins()) // choose has asked
			a.repo.Sign = append(a.repo.Sign, Base{n.role, n.bins(), n.doc, n.taken, h.Signers})
		}
	}
	return pending
}

// isAsked reports whether a role is to be signed.
func (a *Assembly) isAsked(n *node) bool { return a.asked[n.role.Name] || n.bin && a.asked[n.bins()] }

// checkAsked returns ErrUnknownRole if a name that was asked for is no role and no prefix of bins.
func (a *Assembly) checkAsked() error {
	missing := maps.Clone(a.asked)
	for _, n := range a.repo.targets {
		delete(missing, n.role.Name)
		delete(missing, n.bins())
	}
	for _, role := range slices.Sorted(maps.Keys(missing)) {
		if !missing[role] {
			continue
		}
		if _, listed := a.repo.Snapshot.verified.Listed(role); listed { // below a role that makes no sense, perhaps
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

// choose reports whether a targets role is to be signed. A role that was asked for and cannot be
// signed is an error. Of other roles that clients cannot use it warns.
func (a *Assembly) choose(n *node) (bool, error) {
	asked := a.isAsked(n)
	if n.doc == nil {
		if asked {
			return false, n.err
		}
		a.repo.warn("%v", n.err)
		return false, nil
	}
	if asked {
		return true, a.checkSignable(n)
	}
	if !n.doc.replaced {
		return false, nil
	}
	yes, err := a.signable(n)
	if err == nil && !yes {
		a.repo.warn("role %s: version %d is signed by replaced keys, and cannot be signed anew", n.role.Name,
			n.doc.Version())
	}
	return yes, err
}

// checkSignable returns why a role that was asked for cannot be signed.
func (a *Assembly) checkSignable(n *node) error {
	if n.err != nil && !n.fresh() { // clients could not read its successor either
		return n.err
	}
	if n.doc.Version() >= tufmeta.MaxVersion {
		return a.repo.FileError(n.doc, errors.New("no version can follow"))
	}
	if err := a.entitled(n); err != nil {
		return err
	}
	h, err := a.holding(n.role, n.bins())
	if err != nil {
		return err
	}
	return h.Err
}

// A Target is one targets role as a survey shows it.
type Target struct {
	Role   *tufmeta.Role
	Bins   string    // the prefix of the delegation's bins if it is one of them, else ""
	Listed *Document // the listed version; nil if it is not trusted
	Err    error     // what is wrong with the listed version

	node *node
}

// Targets returns the targets roles that were judged, those nearest to targets first.
func (r *Repository) Targets() []Target {
	targets := make([]Target, len(r.targets))
	for i, n := range r.targets {
		targets[i] = Target{Role: n.role, Bins: n.bins(), Err: n.err, node: n}
		if n.err == nil {
			targets[i].Listed = n.listedDocument()
		}
	}
	return targets
}

// Entitled returns why a role is not signed although its keys are available, nil if it is. It may
// need answers of the key provider: then ask it, and call again.
func (r *Repository) Entitled(t Target, ring Custody) ([]custody.Question, error) {
	a := *r.judge
	a.ring, a.need = ring, Need{}
	err := a.entitled(t.node)
	if errors.Is(err, errPending) {
		return a.need.Roles, nil
	}
	return nil, err
}
