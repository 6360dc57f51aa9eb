package published

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// visit decides which candidate counts: the newest whose delegated roles are all there. The listed
// version counts in any case, since clients have it already.
func (a *Assembly) visit(n *node) error {
	if n.visited {
		return nil
	}
	n.visited, n.err = true, n.listedErr
	var listed *tufmeta.Delegations
	if d := n.listedDocument(); d != nil {
		listed, _ = d.file.Delegations() // an error comes up below
	}
	for _, d := range slices.Backward(n.candidates) {
		var children []*node
		var err error
		if d.Version() > n.listed {
			if children, err = a.accept(n, d, listed); err != nil {
				problem, err := untrustedOrRefused(err)
				if err != nil {
					return err
				}
				a.repo.warn("%s", ignoring(n, d.Version(), problem))
				continue
			}
		} else if children, err = a.delegated(n, d, false, listed); err != nil {
			if n.err, err = Untrusted(err); err != nil {
				return err
			}
			a.repo.warn("role %s: version %d: %v", n.role.Name, d.Version(), n.err)
		}
		n.doc, n.children = d, children
		return nil
	}
	if n.err == nil {
		n.err = fmt.Errorf("role %s: there is no file that can be trusted", n.role.Name)
	}
	return nil
}

// listedDocument returns the listed version, nil if it is not trusted.
func (n *node) listedDocument() *Document {
	if len(n.candidates) > 0 && n.candidates[0].Version() == n.listed {
		return n.candidates[0]
	}
	return nil
}

// A refusal says why an unlisted version is not accepted although it verifies.
type refusal struct{ error }

func untrustedOrRefused(err error) (reason, failure error) {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.error, nil
	}
	return Untrusted(err)
}

// accept returns the roles that an unlisted version delegates to. The error is a refusal or a
// *FileError if the version is not accepted.
func (a *Assembly) accept(n *node, d *Document, listed *tufmeta.Delegations) ([]*node, error) {
	if err := a.unfit[d]; err != nil {
		return nil, err
	}
	if err := a.wanted(n, d); err != nil {
		return nil, err
	}
	children, err := a.delegated(n, d, true, listed)
	if err != nil {
		return nil, err
	}
	return children, a.complete(children)
}

// complete returns a refusal unless clients can use the delegations to these roles.
func (a *Assembly) complete(children []*node) error {
	for _, child := range children {
		if child.doc == nil && child.visited && len(child.candidates) > 0 && child.err == nil {
			continue // further up on this path: it is being decided on
		}
		if child.doc == nil {
			return refusal{fmt.Errorf("delegated role %s: %w", child.role.Name, child.err)}
		}
		if !child.doc.replaced {
			continue
		}
		ok, err := a.signable(child)
		if err != nil {
			return err
		}
		if !ok {
			return refusal{fmt.Errorf("delegated role %s is signed by replaced keys", child.role.Name)}
		}
	}
	return nil
}

// delegated finds and visits the roles that a document of n delegates to, as far as they matter. A
// *FileError says that the delegations make no sense, or that clients could not use those of an
// unlisted version.
func (a *Assembly) delegated(n *node, d *Document, fresh bool, listed *tufmeta.Delegations) ([]*node, error) {
	delegations, err := d.file.Delegations()
	if err == nil && delegations.Len() > maxBins {
		err = fmt.Errorf("delegates to %d roles, more than %d", delegations.Len(), maxBins)
	}
	if err != nil {
		return nil, a.fileError(n.role.Name, d.Version(), err)
	}
	roles, known := a.mattered[d]
	if !known {
		if roles, err = a.mattering(delegations, fresh, listed); err != nil {
			return nil, err
		}
		a.mattered[d] = roles
	}
	children, pending := a.findAll(n, d, roles, delegations, fresh, listed)
	if pending != nil && (fresh || !errors.Is(pending, errPending)) {
		return nil, pending
	}
	for _, child := range children {
		if !child.found {
			continue
		}
		if err := a.visit(child); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return nil, err
			}
		}
	}
	return children, pending
}

// findAll finds the roles that a document of n delegates to. An unlisted version is not accepted if
// one of them is missing, however many others there are to find: so of those not read yet it names
// no more than it has found already, or a few.
func (a *Assembly) findAll(n *node, d *Document, roles []*tufmeta.Role, delegations *tufmeta.Delegations, fresh bool,
	listed *tufmeta.Delegations,
) (children []*node, pending error) {
	children = n.buffer[:0]
	defer func() { n.buffer = children }()
	found, waiting, needed, order := 0, 0, len(a.need.Files), len(a.order)
	for _, role := range roles {
		child, first := a.meet(n, role, delegations.IsBin(role.Name), declaredBefore(listed, role))
		children = append(children, child)
		if err := a.find(child); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return children, err
			}
			if waiting++; fresh && waiting >= max(repofiles.Parallel, found) {
				break
			}
			continue
		}
		if found++; first && fresh && len(child.candidates) == 0 {
			a.need.Files = a.need.Files[:needed]
			for _, met := range a.order[order:] {
				met.pass = 0
			}
			a.order = a.order[:order]
			a.unfit[d] = a.unusable(n, d, child)
			return children, a.unfit[d]
		}
	}
	return children, pending
}

// meet returns the node of a role that n delegates to, and reports whether this pass meets it for
// the first time. earlier is the role as the listed version of n declares it, nil if it does not.
func (a *Assembly) meet(n *node, role *tufmeta.Role, bin bool, earlier *tufmeta.Role) (child *node, first bool) {
	key := nodeKey{role.Name, role.Fingerprint()}
	if child = a.nodes[key]; child != nil && child.pass == a.pass {
		return child, false
	}
	if child == nil || !sameRole(child.earlier[0], earlier) { // the listed version depends on it
		child = &node{role: role, earlier: []*tufmeta.Role{earlier}}
		a.nodes[key] = child
	}
	child.by, child.bin, child.pass = n, bin, a.pass
	child.visited, child.doc, child.children = false, nil, nil
	a.order = append(a.order, child)
	return child, true
}

func sameRole(a, b *tufmeta.Role) bool { return a == b || a != nil && b != nil && a.Equal(b) }

// unusable says that an unlisted version of n cannot be accepted, since clients could not use its
// delegation to child.
func (a *Assembly) unusable(n *node, d *Document, child *node) error {
	problem := child.listedErr
	if problem == nil {
		problem = a.fileError(child.role.Name, 1, errNotFound)
	}
	return a.fileError(n.role.Name, d.Version(), fmt.Errorf("delegated role %s: %w", child.role.Name, problem))
}

// declaredBefore returns a role as the listed document of its delegator declares it, nil if it does
// not.
func declaredBefore(listed *tufmeta.Delegations, role *tufmeta.Role) *tufmeta.Role {
	if listed == nil {
		return nil
	}
	return listed.Role(role.Name)
}

// mattering returns the delegated roles that have to be judged. There may be many bins, and few of
// them matter. If the provider cannot say whether bins are online, no unlisted version of them is
// accepted, so they need not be read.
func (a *Assembly) mattering(all *tufmeta.Delegations, fresh bool, listed *tufmeta.Delegations) (
	[]*tufmeta.Role, error,
) {
	var roles []*tufmeta.Role
	if bins := all.Succinct(); bins != nil && !fresh && !a.in.Survey && !a.asked[bins.Name] {
		h, err := a.holding(bins, bins.Name)
		if err != nil {
			return nil, err
		}
		if h.State != custody.Offline {
			for _, name := range slices.Sorted(maps.Keys(a.asked)) {
				if role := all.Role(name); role != nil && a.asked[name] {
					roles = append(roles, role)
				}
			}
			return roles, nil
		}
	}
	var pending error
	for role := range all.All() {
		yes, err := a.matters(role, all.IsBin(role.Name), fresh, listed)
		if err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return nil, err
			}
			continue
		}
		if yes {
			roles = append(roles, role)
		}
	}
	return roles, pending
}

// matters reports whether a delegated role has to be judged.
func (a *Assembly) matters(role *tufmeta.Role, bin, fresh bool, listed *tufmeta.Delegations) (bool, error) {
	if a.in.Survey || !bin || a.asked[role.Name] || a.asked[binPrefix(role.Name)] {
		return true, nil
	}
	if fresh {
		if _, known := a.repo.Snapshot.verified.Listed(role.Name); !known {
			return true, nil
		}
		if earlier := declaredBefore(listed, role); earlier == nil || !earlier.Equal(role) {
			return true, nil
		}
	}
	h, err := a.holding(role, binPrefix(role.Name))
	return h.State == custody.Offline, err
}
