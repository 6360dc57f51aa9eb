package published

import (
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
		for _, k := range a.root().Roles[name].Keys {
			barred[k.Digest()] = name
		}
	}
	return h.Without(n.role, barred), nil
}

// keysOfOthers returns the digests of those keys of n's role that another targets role has too,
// with that role. The error says that it is not known what a role declares.
func (a *Assembly) keysOfOthers(n *node) (map[string]string, error) {
	if a.shares == nil {
		a.shares = a.sharesOfKeys()
	}
	if a.shares.unknown != nil {
		return nil, a.shares.unknown
	}
	others := map[string]string{}
	for _, k := range n.role.Keys {
		for _, s := range a.shares.of[k.Digest()] {
			if s.by != n.by || s.name != n.shareName() {
				others[k.Digest()] = s.role
			}
		}
	}
	return others, nil
}

// Shares say which targets roles have a key. There may be very many roles, so this is found out
// once, when all are known.
type shares struct {
	of      map[string][]share // by the key's digest, of two roles at most
	unknown error
}

// A share is that a role has a key. The bins of one delegation are one role.
type share struct {
	by   *node  // the declarer; nil for targets
	name string // the role's, "" for bins
	role string // one that has it
}

// shareName returns the name of a role's shares.
func (n *node) shareName() string {
	if n.bin {
		return ""
	}
	return n.role.Name
}

// sharesOfKeys finds out which targets roles have which keys.
func (a *Assembly) sharesOfKeys() *shares {
	all := &shares{of: map[string][]share{}}
	all.add(a.root().Roles[tufmeta.Targets], nil, tufmeta.Targets)
	for _, by := range a.order {
		if by.bin {
			continue // which declare nothing
		}
		if by.doc == nil && a.isListed(by.role.Name) {
			all.unknown = fmt.Errorf("it is not known whether role %s, which cannot be read, declares one of its keys",
				by.role.Name)
			return all
		}
		if by.doc == nil {
			continue
		}
		delegations, err := by.doc.file.Delegations()
		if err != nil {
			continue // nobody can follow them
		}
		for role := range delegations.Declared() {
			name := role.Name
			if role == delegations.Succinct() || delegations.IsBin(name) {
				name = ""
			}
			all.add(role, by, name)
		}
	}
	return all
}

// add adds the keys of a role. Two roles that have a key are enough for it to be another's, whoever
// asks.
func (s *shares) add(role *tufmeta.Role, by *node, name string) {
	for _, k := range role.Keys {
		of := s.of[k.Digest()]
		if k.Digest() == "" || len(of) == 2 || len(of) == 1 && of[0].by == by && of[0].name == name {
			continue
		}
		s.of[k.Digest()] = append(of, share{by, name, role.Name})
	}
}
