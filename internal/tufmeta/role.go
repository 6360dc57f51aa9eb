package tufmeta

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A Role is who signs a document, and how many of them are needed, as root or a delegating targets
// role says.
type Role struct {
	Name      string
	Keys      []*Key // in the order of the key IDs, each once
	Threshold int    // at least 1, at most the number of keys

	// ExpiryPeriod is how long documents of this role are to be valid, by the role's field
	// x-tuf-on-ci-expiry-period; 0 without it.
	ExpiryPeriod time.Duration

	kind        string // the type of the role's documents
	fingerprint func() string
}

// parseRole reads the fields keyids and threshold of a role.
func parseRole(name, kind string, object value, declared map[string]*Key) (*Role, error) {
	fields, err := object.fields("keyids", "threshold", expiryPeriodField)
	if err != nil {
		return nil, err
	}
	r := &Role{Name: name, kind: kind, ExpiryPeriod: expiryPeriod(fields[2])}
	ids, err := fields[0].texts()
	if err != nil {
		return nil, fmt.Errorf("keyids: %w", err)
	}
	threshold, err := fields[1].integer()
	if err != nil {
		return nil, fmt.Errorf("threshold: %w", err)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		key, ok := declared[id]
		if !ok {
			return nil, fmt.Errorf("keyids: %q is not among the keys", id)
		}
		if seen[id] {
			return nil, fmt.Errorf("keyids: %q is there twice", id)
		}
		seen[id] = true
		r.Keys = append(r.Keys, key)
	}
	if threshold < 1 {
		return nil, fmt.Errorf("threshold: %d is less than 1", threshold)
	}
	if threshold > int64(len(ids)) {
		return nil, fmt.Errorf("threshold: %d, of %d keys", threshold, len(ids))
	}
	r.Threshold = int(threshold)
	r.fingerprint = sync.OnceValue(r.print)
	return r, nil
}

// parseKeys reads an object of keys by key ID.
func parseKeys(v value) (map[string]*Key, error) {
	members, err := v.members()
	if err != nil {
		return nil, err
	}
	keys := map[string]*Key{}
	for id, object := range members {
		if strings.ContainsFunc(id, unicode.IsControl) { // which canonical JSON writes as it is, and JSON cannot
			return nil, fmt.Errorf("%q holds a control character", id)
		}
		if keys[id], err = parseKey(id, object); err != nil {
			return nil, fmt.Errorf("%q: %w", id, err)
		}
	}
	return keys, nil
}

// Equal reports whether two roles ask for the same: key IDs, public keys and threshold.
func (r *Role) Equal(other *Role) bool { return r == other || r.Fingerprint() == other.Fingerprint() }

// Fingerprint tells roles apart that are not Equal.
func (r *Role) Fingerprint() string { return r.fingerprint() }

func (r *Role) print() string {
	keys := make([]string, len(r.Keys))
	for i, k := range r.Keys {
		keys[i] = fmt.Sprintf("%q=%x by %v", k.ID, k.id, k.hash) // one key is verified in several ways
	}
	slices.Sort(keys)
	return fmt.Sprint(r.Threshold, keys)
}

// Shares reports whether two roles have a public key in common, under whatever key IDs: what that
// key has signed for one of them, it may be said to have signed for the other, since a document
// does not name its role.
func (r *Role) Shares(other *Role) bool {
	for _, k := range r.Keys {
		if k.err == nil && slices.ContainsFunc(other.Keys, func(o *Key) bool { return o.err == nil && o.id == k.id }) {
			return true
		}
	}
	return false
}

// Verified is a document that carries a threshold of signatures by a role's keys. Only
// [Role.Verify] and [Draft.Sign] make one.
type Verified struct {
	*Document
	role *Role
}

// Role returns the role that the document was verified against.
func (v *Verified) Role() *Role { return v.role }

// ErrThreshold says that too few of a role's keys have signed.
var ErrThreshold = errors.New("too few valid signatures")

// Verify checks that d is of the role's type and signed by a threshold of its keys (specification
// 5.2). A public key that is declared under two key IDs counts once. Expiry is not looked at. The
// error wraps ErrThreshold if signatures are missing.
func (r *Role) Verify(d *Document) (*Verified, error) {
	if d.kind != r.kind {
		return nil, fmt.Errorf("has type %q, not %q", d.kind, r.kind)
	}
	signed := map[string]bool{}
	for _, k := range r.Keys {
		sig, ok := d.sigs[k.ID]
		if ok && !signed[k.id] && k.Verify(d.canonical, sig) == nil {
			signed[k.id] = true
		}
		if len(signed) == r.Threshold {
			return &Verified{d, r}, nil
		}
	}
	return nil, fmt.Errorf("%w: %d of %d", ErrThreshold, len(signed), r.Threshold)
}

// A RootDocument is what a verified root says.
type RootDocument struct {
	*Verified
	Consistent bool // whether the repository has consistent snapshots (specification 6.2.1)
	Roles      map[string]*Role
}

// ParseRoot reads what a root document says. A root is trusted once both its own root role and the
// one of the version before verify it.
func ParseRoot(d *Document) (*RootDocument, error) {
	if d.kind != Root {
		return nil, fmt.Errorf("has type %q, not %q", d.kind, Root)
	}
	r := &RootDocument{Roles: map[string]*Role{}}
	var err error
	if v := d.field("consistent_snapshot"); v != nil { // clients take a missing one for false
		if r.Consistent, err = v.boolean(); err != nil {
			return nil, fmt.Errorf("signed.consistent_snapshot: %w", err)
		}
	}
	keys, err := parseKeys(d.field("keys"))
	if err != nil {
		return nil, fmt.Errorf("signed.keys: %w", err)
	}
	roles, err := d.field("roles").fields(Root, Timestamp, Snapshot, Targets)
	if err != nil {
		return nil, fmt.Errorf("signed.roles: %w", err)
	}
	for i, name := range []string{Root, Timestamp, Snapshot, Targets} {
		if r.Roles[name], err = parseRole(name, name, roles[i], keys); err != nil {
			return nil, fmt.Errorf("signed.roles.%s: %w", name, err)
		}
	}
	if r.Verified, err = r.Roles[Root].Verify(d); err != nil {
		return nil, err
	}
	return r, nil
}

// Follow checks that d is the root after r: one version later, and signed by the thresholds of both
// (specification 5.3).
func (r *RootDocument) Follow(d *Document) (*RootDocument, error) {
	if d.version != r.version+1 {
		return nil, fmt.Errorf("has version %d, not %d", d.version, r.version+1)
	}
	if _, err := r.Roles[Root].Verify(d); err != nil {
		return nil, fmt.Errorf("by the keys of root version %d: %w", r.version, err)
	}
	return ParseRoot(d)
}

// Enough reports whether signatures by these keys would reach the role's threshold.
func (r *Role) Enough(held []*Key) bool {
	different := map[string]bool{}
	for _, k := range held {
		if k.err == nil {
			different[k.id] = true
		}
	}
	return len(different) >= r.Threshold
}
