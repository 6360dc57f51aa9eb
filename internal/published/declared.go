package published

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// newNode returns the node of a role that a document of n delegates to.
func (a *Assembly) newNode(n *node, role *tufmeta.Role, within *tufmeta.Delegations) *node {
	child := &node{
		role: role, by: n, depth: n.depth + 1, within: within, bin: within.IsBin(role.Name), newest: role,
	}
	switch {
	case role == within.Succinct():
		child.prefix = role.Name
	case child.bin:
		child.prefix = binPrefix(role.Name)
	}
	if child.depth > maxDepth {
		child.barred = fmt.Errorf("it is more than %d delegations below targets, and clients do not go so far", maxDepth)
	}
	if n.latest != nil {
		latest, err := n.latest.file.Delegations()
		if err != nil {
			child.newest = nil
		} else if latest != within {
			child.newest = latest.Role(role.Name)
		}
	}
	return child
}

// declare declares the roles that the document of n delegates to, as far as they matter.
func (a *Assembly) declare(n *node) error {
	delegations, err := n.doc.delegations()
	if err != nil {
		n.err = a.reject(n.role.Name, n.doc.file, err)
		a.repo.warn("%v", n.err)
		return nil
	}
	for _, problem := range delegations.Problems() {
		a.repo.warn("role %s: version %d: %v", n.role.Name, n.doc.Version(), problem)
	}
	if n.bin { // what a bin's document delegates to counts for nothing
		return nil
	}
	if bins := delegations.Succinct(); bins != nil && a.prefixes[bins.Name] == nil {
		a.prefixes[bins.Name] = n
	}
	roles, pending := a.mattering(n, delegations)
	for _, role := range roles {
		if a.declares(role.Name) || a.isTaken(n, role.Name) {
			continue
		}
		child := a.newNode(n, role, delegations)
		if err := a.collides(role.Name, delegations); err != nil {
			child.barred = err
		}
		if child.bin && a.prefixes[child.prefix] == nil {
			a.prefixes[child.prefix] = n
		}
		a.nodes[role.Name] = child
		a.order = append(a.order, child)
	}
	if delegations.Succinct() != nil {
		a.succinct = append(a.succinct, delegations)
		return pending
	}
	for role := range delegations.Declared() {
		if a.declaredRole(role.Name) == nil {
			a.declared[role.Name] = role
		}
	}
	return pending
}

// declaredRole returns a targets role as its declarer declares it, nil if nobody that was met does.
// There may be very many roles, few of them with succinct bins.
func (a *Assembly) declaredRole(name string) *tufmeta.Role {
	if n := a.nodes[name]; n != nil {
		return n.role
	}
	if role := a.declared[name]; role != nil {
		return role
	}
	for _, delegations := range a.succinct {
		if role := delegations.Role(name); role != nil {
			return role
		}
	}
	return nil
}

// declares reports whether a document that was met declares a role.
func (a *Assembly) declares(name string) bool { return a.declaredRole(name) != nil }

// isTaken reports whether an unlisted version of n declares a name that is somebody else's by what
// is listed. A name stays with its declarer as long as that one declares it.
func (a *Assembly) isTaken(n *node, name string) bool { return n.fresh() && a.isOwned(n, name) }

// isOwned reports whether by what is listed another role than n declares a name.
func (a *Assembly) isOwned(n *node, name string) bool {
	owner := a.owners[name]
	return owner != "" && owner != n.role.Name
}

// countsForNothing reports whether what an unlisted version of n declares by a name counts for
// nothing.
func (a *Assembly) countsForNothing(n *node, name string) bool {
	if n.bin || a.isOwned(n, name) {
		return true
	}
	for m := n; m != nil; m = m.by {
		if m.role.Name == name || m.within != nil && m.within.Role(name) != nil {
			return true
		}
	}
	return a.declares(name)
}

// isListed reports whether the snapshot lists a role.
func (a *Assembly) isListed(name string) bool {
	if a.repo.Snapshot == nil {
		return a.oldVersion(name) > 0 || a.floors[name] > 0
	}
	_, ok := a.repo.Snapshot.verified.Listed(name)
	return ok
}

// everyone reports whether all delegated roles have to be judged.
func (a *Assembly) everyone() bool { return a.in.Survey || a.whole || a.made }

// mattering returns the delegated roles that have to be judged. There may be many bins, and few of
// them matter. If the provider cannot say whether bins are online, no unlisted version of them is
// accepted, so they need not be read.
func (a *Assembly) mattering(n *node, all *tufmeta.Delegations) (roles []*tufmeta.Role, pending error) {
	if bins := all.Succinct(); bins != nil && !n.fresh() && !a.everyone() && !a.asked[bins.Name] {
		h, err := a.custodyOf(a.newNode(n, bins, all))
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
	for role := range all.All() {
		yes, err := a.matters(n, role, all)
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
func (a *Assembly) matters(n *node, role *tufmeta.Role, all *tufmeta.Delegations) (bool, error) {
	if a.everyone() || !all.IsBin(role.Name) || a.asked[role.Name] || a.asked[binPrefix(role.Name)] {
		return true, nil
	}
	if n.fresh() {
		before := (*tufmeta.Delegations)(nil)
		if n.listed != nil {
			before, _ = n.listed.file.Delegations()
		}
		if !a.isListed(role.Name) || !declaredSo(before, role) {
			return true, nil
		}
	}
	h, err := a.custodyOf(a.newNode(n, role, all))
	return h.State == custody.Offline, err
}

// declaredSo reports whether a role is declared as it was before.
func declaredSo(before *tufmeta.Delegations, role *tufmeta.Role) bool {
	if before == nil {
		return false
	}
	was := before.Role(role.Name)
	return was != nil && was.Equal(role)
}

// walkListed walks by what is listed.
func (a *Assembly) walkListed() error {
	a.onlyOwned = true
	defer func() { a.onlyOwned = false }()
	return a.walk()
}

// findOwners finds out which role declares which by what is listed.
func (a *Assembly) findOwners() error {
	if err := a.walkListed(); err != nil {
		return err
	}
	a.owners = map[string]string{}
	for _, n := range a.order {
		if n.by != nil {
			a.owners[n.role.Name] = n.by.role.Name
		}
	}
	return nil
}
