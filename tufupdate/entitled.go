package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A document of type targets does not say which role it is of. So what a key signs for one role
// counts for every other role that has it, and whoever decides what a role says must not get it
// signed by a key that is somebody else's word.

// entitled returns an error if a role is not to be signed although its keys are at hand: the
// holders of a delegated role may declare for a role below theirs the public half of any key, and
// what lies there is theirs. A key that those nearer to targets use is not lent to them.
func (t *tree) entitled(ctx context.Context, n *node) error {
	if n.by == nil || n.by == t.root {
		return nil
	}
	ours, err := t.isOurs(ctx, n.by)
	if ours {
		return nil
	}
	for role := range t.nearer(n.by) {
		if role.Shares(n.role) {
			if err != nil && !errors.Is(err, ErrNoKey) {
				return err // it may be ours, after all
			}
			return errorf(t.app, fmt.Sprintf(
				"role %s: role %s declares for it a key of role %s, which is not signed with for others",
				n.role.Name, n.by.role.Name, role.Name), ErrNoKey)
		}
	}
	return nil
}

// isOurs reports whether nobody but the key provider can sign for a role, and who declares it may
// have that. An error says why that is not so, or not known.
func (t *tree) isOurs(ctx context.Context, n *node) (bool, error) {
	set, err := t.keys.held(ctx, n.role, n.prefix())
	if err != nil || len(set.signers) < len(n.role.Keys) {
		return false, err
	}
	err = t.entitled(ctx, n)
	return err == nil && (n.doc == nil || !n.doc.rotated), err
}

// nearer returns targets, and the roles that are declared by those nearer to targets than n.
func (t *tree) nearer(n *node) iter.Seq[*tufmeta.Role] {
	return func(yield func(*tufmeta.Role) bool) {
		if !yield(t.root.role) {
			return
		}
		nodes := []*node{t.root}
		for _, other := range t.nodes {
			nodes = append(nodes, other)
		}
		for _, other := range nodes {
			if other.depth() < n.depth() && !other.declares(yield) {
				return
			}
		}
	}
}

func (n *node) depth() (depth int) {
	for by := n.by; by != nil; by = by.by {
		depth++
	}
	return depth
}

// declares yields the roles that any document of n declares, and reports whether yield wants more.
func (n *node) declares(yield func(*tufmeta.Role) bool) bool {
	for _, d := range n.candidates {
		delegations, err := d.file.delegations()
		if err != nil {
			continue // a problem, which comes up elsewhere
		}
		for role := range delegations.Declared() {
			if !yield(role) {
				return false
			}
		}
	}
	return true
}

// signable reports whether a role can be signed: its keys are at hand, and they may be used for it.
func (t *tree) signable(ctx context.Context, n *node) (bool, error) {
	custody, err := t.keys.custody(ctx, n.role, n.prefix())
	return custody == custodyOnline && t.entitled(ctx, n) == nil, err
}

// unwanted says why a document that verifies, and that nothing lists yet, is not to be taken in; ""
// if it is.
func (t *tree) unwanted(ctx context.Context, n *node, d *document) (string, error) {
	custody, err := t.keys.custody(ctx, n.role, n.prefix())
	if err != nil {
		return "", err
	}
	if custody == custodyUnknown { // on which depends what is wanted
		_, why := t.keys.held(ctx, n.role, n.prefix())
		return fmt.Sprintf("it is not known whether its keys are at hand: %v", why), nil
	}
	online := custody == custodyOnline
	var listed *document
	if first := n.candidates[0]; first.Version() == n.listed {
		listed = first
	}
	// It may be another role's: unless it repeats what is listed, as what is left of a roll that
	// did not end does. A new role has nothing to lose, and without consistent snapshots a document
	// that is listed no more is all there is.
	if online && t.consistent && listed != nil && !d.Repeats(listed.Document) && t.shared(n) {
		return "its keys, which are at hand, are another role's too, so it may be that one's document", nil
	}
	now, renewed := time.Now(), online && t.isAsked(n)
	if listed != nil && listed.Expires().After(now) && !d.Expires().After(now) && !renewed {
		return "it has expired, and what is published has not", nil
	}
	return "", nil
}

// shared reports whether a key of a role is another role's too, as far as its neighbours know:
// targets, those that are declared beside it, and those that it declares itself.
func (t *tree) shared(n *node) bool {
	isOther := func(role *tufmeta.Role) bool { return role.Name != n.role.Name && role.Shares(n.role) }
	if n != t.root && isOther(t.root.role) {
		return true
	}
	unlike := func(role *tufmeta.Role) bool { return !isOther(role) }
	return n.by != nil && !n.by.declares(unlike) || !n.declares(unlike)
}
