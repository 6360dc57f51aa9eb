package tufmeta

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Delegations is what a targets document says of the roles it delegates to (specification 4.5, TAP
// 15).
type Delegations struct {
	roles    []*Role // in order of priority
	byName   map[string]*Role
	bins     map[string]bool // those of roles that are delegated to by hash prefixes
	succinct *succinct
}

// succinct are 2^bitLength bins that share keys and threshold.
type succinct struct {
	role      *Role // its name is the prefix
	bitLength int
}

// ParseDelegations reads the delegations of a targets document, whose target files have to be
// well-formed too. One without delegations has empty ones.
func ParseDelegations(d *Document) (*Delegations, error) {
	if err := checkTargets(d.field("targets")); err != nil {
		return nil, fmt.Errorf("signed.targets%w", err)
	}
	ds := &Delegations{byName: map[string]*Role{}, bins: map[string]bool{}}
	object := d.field("delegations")
	if object == nil {
		return ds, nil
	}
	if err := ds.parse(object); err != nil {
		return nil, fmt.Errorf("signed.delegations%w", err)
	}
	return ds, nil
}

func (ds *Delegations) parse(object value) error {
	fields, err := object.fields("keys", "roles", "succinct_roles")
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	keys, err := parseKeys(fields[0])
	if err != nil {
		return fmt.Errorf(".keys: %w", err)
	}
	if fields[1] != nil && fields[2] != nil {
		return errors.New(": both roles and succinct_roles")
	}
	if fields[2] != nil {
		if ds.succinct, err = parseSuccinct(fields[2], keys); err != nil {
			return fmt.Errorf(".succinct_roles: %w", err)
		}
		return nil
	}
	list, err := fields[1].elements()
	if err != nil {
		return fmt.Errorf(".roles: %w", err)
	}
	for object := range list {
		if err := ds.add(object, keys); err != nil {
			return fmt.Errorf(".roles[%d]: %w", len(ds.roles), err)
		}
	}
	return nil
}

func (ds *Delegations) add(object value, keys map[string]*Key) error {
	fields, err := object.fields("name", "path_hash_prefixes", "paths", "terminating")
	if err != nil {
		return err
	}
	name, err := fields[0].text()
	if err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if err := checkDelegatedName(name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if ds.byName[name] != nil {
		return fmt.Errorf("name: %q is there twice", name)
	}
	role, err := parseRole(name, Targets, object, keys)
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	for i, field := range []string{1: "path_hash_prefixes", 2: "paths"} {
		if field == "" || fields[i] == nil {
			continue
		}
		if _, err := fields[i].texts(); err != nil {
			return fmt.Errorf("%q: %s: %w", name, field, err)
		}
	}
	if _, err := fields[3].boolean(); err != nil {
		return fmt.Errorf("%q: terminating: %w", name, err)
	}
	ds.roles = append(ds.roles, role)
	ds.byName[name] = role
	ds.bins[name] = fields[1] != nil
	return nil
}

func parseSuccinct(object value, keys map[string]*Key) (*succinct, error) {
	fields, err := object.fields("name_prefix", "bit_length")
	if err != nil {
		return nil, err
	}
	prefix, err := fields[0].text()
	if err != nil {
		return nil, fmt.Errorf("name_prefix: %w", err)
	}
	if err := checkDelegatedName(prefix + "-0"); err != nil {
		return nil, fmt.Errorf("name_prefix: %w", err)
	}
	bits, err := fields[1].integer()
	if err != nil {
		return nil, fmt.Errorf("bit_length: %w", err)
	}
	if bits < 1 || bits > 32 {
		return nil, fmt.Errorf("bit_length: %d is not between 1 and 32", bits)
	}
	role, err := parseRole(prefix, Targets, object, keys)
	if err != nil {
		return nil, err
	}
	return &succinct{role, int(bits)}, nil
}

// checkDelegatedName returns an error unless name can be a delegated role's: it becomes part of
// file names and URLs, so it has to be a path of plain segments without control characters, and it
// must not be taken for a top-level role.
func checkDelegatedName(name string) error {
	switch name {
	case Root, Targets, Snapshot, Timestamp:
		return fmt.Errorf("%q is a top-level role", name)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name,
		func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return fmt.Errorf("%q holds a control character or a backslash", name)
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q has the segment %q", name, segment)
		}
	}
	return nil
}

// Role returns the delegated role of that name, or nil.
func (ds *Delegations) Role(name string) *Role {
	if role := ds.byName[name]; role != nil {
		return role
	}
	if ds.succinct == nil || !ds.succinct.has(name) {
		return nil
	}
	role := *ds.succinct.role
	role.Name = name
	return &role
}

// has reports whether name is one of the bins: the prefix, "-", and its number in as many
// lower-case hex digits as the last one needs.
func (s *succinct) has(name string) bool {
	number, ok := strings.CutPrefix(name, s.role.Name+"-")
	if !ok || len(number) != s.digits() || strings.ToLower(number) != number {
		return false
	}
	n, err := strconv.ParseUint(number, 16, 64)
	return err == nil && n < s.count()
}

func (s *succinct) count() uint64 { return 1 << s.bitLength }

func (s *succinct) digits() int { return (s.bitLength + 3) / 4 }

// IsBin reports whether the delegated role of that name is a bin: one of those that target files
// are spread over by their hashes, by hash prefixes or as succinct roles.
func (ds *Delegations) IsBin(name string) bool {
	return ds.bins[name] || ds.succinct != nil && ds.succinct.has(name)
}

// Succinct returns the role that succinct bins have in common, whose name is their prefix; nil if
// there are none.
func (ds *Delegations) Succinct() *Role {
	if ds.succinct == nil {
		return nil
	}
	return ds.succinct.role
}

// Declared returns the roles as they are declared, succinct bins as the one that they have in
// common.
func (ds *Delegations) Declared() iter.Seq[*Role] {
	if ds.succinct != nil {
		return slices.Values([]*Role{ds.succinct.role})
	}
	return slices.Values(ds.roles)
}

// All returns the delegated roles, in order of priority. Mind Len.
func (ds *Delegations) All() iter.Seq[*Role] {
	return func(yield func(*Role) bool) {
		for _, role := range ds.roles {
			if !yield(role) {
				return
			}
		}
		if s := ds.succinct; s != nil {
			for n := range s.count() {
				if !yield(ds.Role(fmt.Sprintf("%s-%0*x", s.role.Name, s.digits(), n))) {
					return
				}
			}
		}
	}
}

// Len returns how many roles there are: succinct ones may be four thousand million.
func (ds *Delegations) Len() uint64 {
	if ds.succinct != nil {
		return ds.succinct.count()
	}
	return uint64(len(ds.roles))
}
