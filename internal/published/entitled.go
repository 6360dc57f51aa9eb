package published

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// A document of type targets does not name its role. A signature by a key counts for every role
// that has the key. So an online key must not sign the words of a party that is not entitled to all
// of these roles.

// entitled returns an error if a role is not to be signed although its keys are available. The
// holders of a delegated role may declare the public half of any key for a role below theirs. They
// decide what that role says. A key of a role nearer to targets is not lent to them.
func (a *Assembly) entitled(n *node) error {
	if n.by == nil || n.by == a.top {
		return nil
	}
	ours, err := a.isOurs(n.by)
	if ours || errors.Is(err, errPending) {
		return err
	}
	for role := range a.nearer(n.by) {
		if role.Shares(n.role) {
			if err != nil && !errors.Is(err, keys.ErrNoKey) {
				return err // it may be ours after all
			}
			return fmt.Errorf("role %s: role %s declares for it a key of role %s, which does not sign for other roles: %w",
				n.role.Name, n.by.role.Name, role.Name, keys.ErrNoKey)
		}
	}
	return nil
}

// isOurs reports whether only the key provider can sign for a role, and may do so. An error says
// why not, or that it is not known.
func (a *Assembly) isOurs(n *node) (bool, error) {
	h, err := a.holding(n.role, n.bins())
	if err != nil {
		return false, err
	}
	if h.State == custody.Unknown {
		return false, h.Err
	}
	if !h.Whole {
		return false, nil
	}
	err = a.entitled(n)
	return err == nil && (n.doc == nil || !n.doc.replaced), err
}

// nearer returns targets, and the roles that are declared by those nearer to targets than n.
func (a *Assembly) nearer(n *node) iter.Seq[*tufmeta.Role] {
	return func(yield func(*tufmeta.Role) bool) {
		if !yield(a.top.role) {
			return
		}
		for _, other := range slices.Concat([]*node{a.top}, a.order) {
			if other.depth() < n.depth() && !other.declares(yield) {
				return
			}
		}
	}
}

// declares yields the roles that any document of n declares, and reports whether yield wants more.
func (n *node) declares(yield func(*tufmeta.Role) bool) bool {
	for _, d := range n.candidates {
		delegations, err := d.file.Delegations()
		if err != nil {
			continue // the error comes up where the document is judged
		}
		for role := range delegations.Declared() {
			if !yield(role) {
				return false
			}
		}
	}
	return true
}

// signable reports whether a role can be signed: it is online and its keys may be used for it.
func (a *Assembly) signable(n *node) (bool, error) {
	h, err := a.holding(n.role, n.bins())
	if err != nil || h.State != custody.Online {
		return false, err
	}
	err = a.entitled(n)
	if errors.Is(err, errPending) {
		return false, err
	}
	return err == nil, nil
}

// wanted returns a refusal if an unlisted version that verifies is not to be accepted.
func (a *Assembly) wanted(n *node, d *Document) error {
	h, err := a.holding(n.role, n.bins())
	if err != nil {
		return err
	}
	if h.State == custody.Unknown {
		return refusal{fmt.Errorf("it is not known whether its keys are available: %w", h.Err)}
	}
	online, listed := h.State == custody.Online, n.listedDocument()
	// It may be another role's document, unless it repeats the listed version, as the remains of a
	// roll that did not end do. A new role has nothing to lose. Without consistent snapshots there
	// is no other file.
	if online && a.layout.Consistent && listed != nil && !d.verified.Repeats(listed.verified.Document) && a.shared(n) {
		return refusal{errors.New("its keys, which are available, are another role's too, " +
			"so it may be that one's document")}
	}
	renewed := online && a.isAsked(n)
	if listed != nil && listed.verified.Expires().After(a.in.Now) && !d.verified.Expires().After(a.in.Now) && !renewed {
		return refusal{errors.New("it has expired, and the listed version has not")}
	}
	return nil
}

// shared reports whether a key of a role is another role's too, as far as its neighbours know:
// targets, those that are declared beside it, and those that it declares itself.
func (a *Assembly) shared(n *node) bool {
	isOther := func(role *tufmeta.Role) bool { return role.Name != n.role.Name && role.Shares(n.role) }
	if n != a.top && isOther(a.top.role) {
		return true
	}
	unlike := func(role *tufmeta.Role) bool { return !isOther(role) }
	return n.by != nil && !n.by.declares(unlike) || !n.declares(unlike)
}
