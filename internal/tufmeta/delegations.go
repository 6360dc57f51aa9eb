package tufmeta

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Delegations is what a targets document says of the roles it delegates to (specification 4.5, TAP
// 15).
type Delegations struct {
	roles    []*Role // in order of priority
	byName   map[string]*Role
	prefixes map[string][]string // of those of roles that are delegated to by hash prefixes
	succinct *succinct
	keys     map[string]*Key
	problems []error
}

// succinct are 2^bitLength bins that share keys and threshold.
type succinct struct {
	role      *Role // its name is the prefix
	bitLength int
}

// ParseDelegations reads the delegations of a targets document, whose target files have to be
// well-formed too. A document without delegations has empty ones. A delegated role that makes no
// sense disables no other: it has a Problem.
func ParseDelegations(d *Document) (*Delegations, error) {
	if err := checkTargets(d.field("targets")); err != nil {
		return nil, fmt.Errorf("signed.targets%w", err)
	}
	ds := &Delegations{byName: map[string]*Role{}, prefixes: map[string][]string{}}
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
	if ds.keys, err = parseKeys(fields[0]); err != nil {
		return fmt.Errorf(".keys: %w", err)
	}
	if fields[1] != nil && fields[2] != nil {
		return errors.New(": both roles and succinct_roles")
	}
	if fields[2] != nil {
		if err := ds.parseSuccinct(fields[2]); err != nil {
			return fmt.Errorf(".succinct_roles: %w", err)
		}
		return nil
	}
	list, err := fields[1].elements()
	if err != nil {
		return fmt.Errorf(".roles: %w", err)
	}
	n := 0
	for object := range list {
		if err := ds.add(object); err != nil {
			ds.problems = append(ds.problems, fmt.Errorf("roles[%d]: %w", n, err))
		}
		n++
	}
	return nil
}

// add adds a delegated role, and returns why it, or a part of it, makes no sense.
func (ds *Delegations) add(object value) error {
	fields, err := object.fields("name", "path_hash_prefixes", "paths", "terminating")
	if err != nil {
		return err
	}
	name, err := fields[0].text()
	if err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if ds.byName[name] != nil {
		return fmt.Errorf("name: %q is there twice", name)
	}
	role := parseRole(name, Targets, object, ds.keys)
	ds.roles = append(ds.roles, role)
	ds.byName[name] = role
	prefixes, paths, terminating := fields[1], fields[2], fields[3]
	if prefixes != nil {
		texts, err := prefixes.texts()
		role.disable("path_hash_prefixes", err)
		ds.prefixes[name] = texts
	}
	if paths != nil {
		_, err := paths.texts()
		role.disable("paths", err)
	}
	if prefixes != nil && paths != nil {
		role.disable("paths", errors.New("beside path_hash_prefixes"))
	}
	_, err = terminating.boolean()
	role.disable("terminating", err)
	role.disable("name", checkDelegatedName(name))
	if role.err != nil {
		return fmt.Errorf("%q: %w", name, role.err)
	}
	return nil
}

// disable gives the role a Problem with one of its fields, unless err is nil or it has one already.
func (r *Role) disable(field string, err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%s: %w", field, err)
	}
}

func (ds *Delegations) parseSuccinct(object value) error {
	fields, err := object.fields("name_prefix", "bit_length")
	if err != nil {
		return err
	}
	prefix, err := fields[0].text()
	if err != nil {
		return fmt.Errorf("name_prefix: %w", err)
	}
	bits, err := fields[1].integer()
	if err != nil {
		return fmt.Errorf("bit_length: %w", err)
	}
	if bits < 1 || bits > 32 {
		return fmt.Errorf("bit_length: %d is not between 1 and 32", bits)
	}
	role := parseRole(prefix, Targets, object, ds.keys)
	role.disable("name_prefix", checkDelegatedName(prefix))
	role.disable("name_prefix", checkDelegatedName(prefix+"-0"))
	if role.err != nil {
		ds.problems = append(ds.problems, fmt.Errorf("succinct_roles: %w", role.err))
	}
	ds.succinct = &succinct{role, int(bits)}
	return nil
}

// Problems returns what of the delegations makes no sense: the roles with a Problem, and those that
// are left out since they have no name or one that is there twice.
func (ds *Delegations) Problems() []error { return ds.problems }

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
	_, isBin := ds.prefixes[name]
	return isBin || ds.succinct != nil && ds.succinct.has(name)
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
