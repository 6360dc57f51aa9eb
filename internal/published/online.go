package published

import (
	"errors"
	"fmt"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// Rule 5: an online key signs only where all words are its own. Targets is online if the provider
// holds a threshold of its keys. A delegated role is online if the provider holds every key of it
// and of each delegated role between it and targets. The operator may name others; for such a role
// no key signs that another role has.
//
// Whoever holds a delegated role's keys can declare any public key for a role below, an online one
// of this repository too. That lends them nothing.

// custodyOf returns who signs for a targets role.
func (a *Assembly) custodyOf(n *node) (custody.Holding, error) {
	h, err := a.holding(n.role, n.bins())
	if err != nil || h.State != custody.Online || a.in.Word.online(n) {
		return h, err
	}
	for m := n; m.by != nil; m = m.by {
		above, err := a.holding(m.role, m.bins())
		switch {
		case err != nil:
			return above, err
		case above.Whole:
		case above.Failed != nil:
			return custody.Holding{State: custody.Unknown, Err: above.Failed}, nil
		default:
			return custody.Holding{Err: fmt.Errorf("role %s: not all keys of role %s are available, so others may decide "+
				"what it says: name it among the online roles to sign it all the same: %w", n.role.Name, m.role.Name,
				keys.ErrNoKey)}, nil
		}
	}
	return h, nil
}

// signersOf returns who signs for a targets role, once all roles are known.
func (a *Assembly) signersOf(n *node) (custody.Holding, error) {
	h, err := a.custodyOf(n)
	if err != nil || h.State != custody.Online || !a.in.Word.online(n) {
		return h, err
	}
	barred, unknown := a.keysOfOthers(n)
	if unknown != nil {
		return custody.Holding{Err: fmt.Errorf("role %s: %w: %w", n.role.Name, unknown, keys.ErrNoKey)}, nil
	}
	for _, name := range []string{tufmeta.Root, tufmeta.Timestamp, tufmeta.Snapshot} {
		bar(barred, a.root().Roles[name])
	}
	return h.Without(n.role, barred), nil
}

// keysOfOthers returns the digests of all keys that targets roles other than n have, with the role.
// The bins of one delegation are one role. The error says that it is not known what a role
// declares.
func (a *Assembly) keysOfOthers(n *node) (map[string]string, error) {
	barred := map[string]string{}
	if n.by != nil {
		bar(barred, a.root().Roles[tufmeta.Targets])
	}
	for _, by := range a.order {
		if by.bin {
			continue // which declare nothing
		}
		if by.doc == nil && a.isListed(by.role.Name) {
			return nil, fmt.Errorf("it is not known whether role %s, which cannot be read, declares one of its keys",
				by.role.Name)
		}
		if by.doc == nil {
			continue
		}
		delegations, err := by.doc.file.Delegations()
		if err != nil {
			continue // nobody can follow them
		}
		for role := range delegations.Declared() {
			mine := role.Name == n.role.Name || n.bin && (role.Name == n.bins() || delegations.IsBin(role.Name))
			if by != n.by || !mine {
				bar(barred, role)
			}
		}
	}
	return barred, nil
}

// bar adds the keys of a role.
func bar(barred map[string]string, role *tufmeta.Role) {
	for _, k := range role.Keys {
		if digest := k.Digest(); digest != "" {
			barred[digest] = role.Name
		}
	}
}

// require makes sure that top-level roles are online.
func (a *Assembly) require(roles ...string) error {
	var pending error
	for _, role := range roles {
		h, err := a.holding(a.root().Roles[role], "")
		switch {
		case errors.Is(err, errPending):
			pending = err
		case h.Err != nil:
			return h.Err
		}
		a.repo.holdings[role] = h
	}
	return pending
}
