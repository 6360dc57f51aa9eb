package tufupdate

import (
	"context"
	"fmt"
	"maps"
)

// plan returns the targets roles that are to be signed, after the walk: those that were asked for,
// and those whose keys were replaced.
func (t *tree) plan(ctx context.Context) ([]*node, error) {
	nodes := t.all()
	if err := t.checkAsked(nodes); err != nil {
		return nil, err
	}
	var sign []*node
	for _, n := range nodes {
		yes, err := t.decide(ctx, n)
		if err != nil {
			return nil, err
		}
		if yes {
			sign = append(sign, n)
		}
	}
	return sign, nil
}

// checkAsked returns ErrUnknownRole if something was asked for that is no role and no prefix of
// bins.
func (t *tree) checkAsked(nodes []*node) error {
	missing := maps.Clone(t.asked)
	for _, n := range nodes {
		delete(missing, n.role.Name)
		if prefix := n.prefix(); prefix != "" {
			delete(missing, prefix)
		}
	}
	for role, asked := range missing {
		if !asked {
			continue
		}
		if _, listed := t.snapshot.Listed(role); listed { // below a role that makes no sense, perhaps
			for _, n := range nodes {
				if n.problem != nil {
					return n.problem
				}
			}
		}
		return errorf(t.app, fmt.Sprintf("role %q", role), ErrUnknownRole)
	}
	return nil
}

// decide reports whether a targets role is to be signed. A role that was asked for and cannot be is
// an error; of others that clients cannot use it warns.
func (t *tree) decide(ctx context.Context, n *node) (bool, error) {
	asked := t.isAsked(n)
	if n.doc == nil {
		if asked {
			return false, n.problem
		}
		t.warn("%v", n.problem)
		return false, nil
	}
	if asked {
		if n.problem != nil && !n.fresh() { // clients could not read its successor either
			return false, n.problem
		}
		if err := t.followable(n.doc); err != nil {
			return false, err
		}
		if err := t.entitled(ctx, n); err != nil {
			return false, err
		}
		_, err := t.keys.online(ctx, n.role, n.prefix())
		return err == nil, err
	}
	if !n.doc.rotated {
		return false, nil
	}
	signable, err := t.signable(ctx, n)
	if err == nil && !signable {
		t.warn("role %s: version %d is signed by keys that it no longer has, and it cannot be signed anew", n.role.Name,
			n.doc.Version())
	}
	return signable, err
}
