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
func (a *assembly) visit(n *node) error {
	if n.visited {
		return nil
	}
	n.visited = true
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
				a.ignore(n, d.Version(), problem)
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
func (a *assembly) accept(n *node, d *Document, listed *tufmeta.Delegations) ([]*node, error) {
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
func (a *assembly) complete(children []*node) error {
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
func (a *assembly) delegated(n *node, d *Document, fresh bool, listed *tufmeta.Delegations) ([]*node, error) {
	delegations, err := d.file.Delegations()
	if err == nil && delegations.Len() > maxBins {
		err = fmt.Errorf("delegates to %d roles, more than %d", delegations.Len(), maxBins)
	}
	if err == nil && delegations.Len() > 0 && n.depth() >= maxDepth {
		err = fmt.Errorf("it is %d delegations below targets and delegates further: clients do not follow", maxDepth)
	}
	if err != nil {
		return nil, a.fileError(n.role.Name, d.Version(), err)
	}
	roles, err := a.mattering(delegations, fresh, listed)
	if err != nil {
		return nil, err
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
func (a *assembly) findAll(n *node, d *Document, roles []*tufmeta.Role, delegations *tufmeta.Delegations, fresh bool,
	listed *tufmeta.Delegations,
) ([]*node, error) {
	var children []*node
	var pending error
	found, waiting, needed := 0, 0, len(a.need.Files)
	for _, role := range roles {
		key := fmt.Sprintf("%q %s", role.Name, role.Fingerprint())
		if known := a.nodes[key]; known != nil {
			children = append(children, known)
			if !known.found {
				pending = errPending
			}
			continue
		}
		child := &node{role: role, by: n, bin: delegations.IsBin(role.Name)}
		a.nodes[key] = child
		a.order = append(a.order, child)
		children = append(children, child)
		if err := a.find(child, []*tufmeta.Role{declaredBefore(listed, role)}); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return nil, err
			}
			if waiting++; fresh && waiting >= max(repofiles.Parallel, found) {
				break
			}
			continue
		}
		if found++; fresh && len(child.candidates) == 0 {
			a.need.Files = a.need.Files[:needed]
			return nil, a.unusable(n, d, child)
		}
	}
	return children, pending
}

// unusable says that an unlisted version of n cannot be accepted, since clients could not use its
// delegation to child.
func (a *assembly) unusable(n *node, d *Document, child *node) error {
	problem := child.err
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
func (a *assembly) mattering(all *tufmeta.Delegations, fresh bool, listed *tufmeta.Delegations) (
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
func (a *assembly) matters(role *tufmeta.Role, bin, fresh bool, listed *tufmeta.Delegations) (bool, error) {
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
