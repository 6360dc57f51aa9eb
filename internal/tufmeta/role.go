package tufmeta

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Role is who signs a document, and how many of them are needed, as root or a delegating targets
// role says.
type Role struct {
	Name      string
	Keys      []*Key // in the order of the key IDs, each once
	Threshold int    // at least 1, at most the number of keys

	// ExpiryPeriod is how long documents of this role are to be valid, by the role's field
	// x-tuf-on-ci-expiry-period in days or x-tuf-on-ci-expiry-period-hours; 0 without it.
	ExpiryPeriod time.Duration

	// SigningPeriod is how long before a document of this role expires its successor is to be
	// signed, by the role's field x-tuf-on-ci-signing-period in days or
	// x-tuf-on-ci-signing-period-hours; 0 without it.
	SigningPeriod time.Duration

	kind        string // the type of the role's documents
	err         error  // see Problem
	fingerprint func() string
}

// maxKeys bounds the keys of a role, since each may have signed a document and has to be tried.
const maxKeys = 64

// parseRole reads the fields keyids and threshold of a role. One that makes no sense has a Problem.
func parseRole(name, kind string, object value, declared map[string]*Key) *Role {
	r := &Role{Name: name, kind: kind}
	r.err = r.parse(object, declared)
	r.fingerprint = sync.OnceValue(r.print)
	return r
}

func (r *Role) parse(object value, declared map[string]*Key) error {
	fields, err := object.fields("keyids", "threshold", expiryDays, expiryHours, signingDays, signingHours)
	if err != nil {
		return err
	}
	r.ExpiryPeriod, r.SigningPeriod = period(fields[2], fields[3]), period(fields[4], fields[5])
	ids, err := fields[0].texts()
	if err != nil {
		return fmt.Errorf("keyids: %w", err)
	}
	if len(ids) > maxKeys {
		return fmt.Errorf("keyids: %d, more than %d", len(ids), maxKeys)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			return fmt.Errorf("keyids: %q is there twice", id)
		}
		seen[id] = true
		key := declared[id]
		if key == nil { // a role that python-tuf reads
			key = &Key{ID: id, err: fmt.Errorf("%q is not among the keys", id)}
		}
		r.Keys = append(r.Keys, key)
	}
	threshold, err := fields[1].integer()
	if err != nil {
		return fmt.Errorf("threshold: %w", err)
	}
	if threshold < 1 {
		return fmt.Errorf("threshold: %d is less than 1", threshold)
	}
	if threshold > int64(len(ids)) {
		return fmt.Errorf("threshold: %d, of %d keys", threshold, len(ids))
	}
	r.Threshold = int(threshold)
	return nil
}

// parseKeys reads an object of keys by key ID.
func parseKeys(v value) (map[string]*Key, error) {
	members, err := v.members()
	if err != nil {
		return nil, err
	}
	keys := map[string]*Key{}
	for id, object := range members {
		keys[id] = parseKey(id, object)
	}
	return keys, nil
}

// Problem returns why the role verifies nothing, whoever signs: what is said of it makes no sense.
// It returns nil if the role can verify. A role with a Problem may have a Name that must not become
// part of a file name.
func (r *Role) Problem() error { return r.err }

// Equal reports whether two roles ask for the same: key IDs, public keys and threshold.
func (r *Role) Equal(other *Role) bool { return r == other || r.Fingerprint() == other.Fingerprint() }

// Fingerprint tells roles apart that are not Equal.
func (r *Role) Fingerprint() string { return r.fingerprint() }

func (r *Role) print() string {
	keys := make([]string, len(r.Keys))
	for i, k := range r.Keys {
		keys[i] = fmt.Sprintf("%q=%s by %q", k.ID, k.digest, k.Scheme) // one key is verified in several ways
	}
	slices.Sort(keys)
	return fmt.Sprint(r.Threshold, keys, r.err)
}

// digests returns the digests of the role's keys, ascending, each once.
func (r *Role) digests() []string {
	var digests []string
	for _, k := range r.Keys {
		if k.err == nil {
			digests = append(digests, k.digest)
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// SameKeys reports whether two roles have the same public keys and the same threshold, whatever the
// key IDs and schemes are. Roles with a Problem have nothing in common.
func (r *Role) SameKeys(other *Role) bool {
	return r.err == nil && other.err == nil && r.Threshold == other.Threshold && slices.Equal(r.digests(), other.digests())
}

// SignedBy returns the digests of the role's keys that have signed d, ascending, each once.
func (r *Role) SignedBy(d *Document) []string {
	var signed []string
	for _, k := range r.Keys {
		if sig, ok := d.sigs[k.ID]; ok && k.Verify(d.canonical, sig) == nil {
			signed = append(signed, k.digest)
		}
	}
	slices.Sort(signed)
	return slices.Compact(signed)
}

// EnoughDigests reports whether signatures by the keys with these digests reach the role's
// threshold.
func (r *Role) EnoughDigests(signed []string) bool {
	n := 0
	for _, digest := range r.digests() {
		if slices.Contains(signed, digest) {
			n++
		}
	}
	return r.err == nil && n >= r.Threshold
}

// Enough reports whether signatures by these keys would reach the role's threshold.
func (r *Role) Enough(held []*Key) bool {
	digests := make([]string, len(held))
	for i, k := range held {
		digests[i] = k.digest
	}
	return r.EnoughDigests(digests)
}

// Verified is a document that may be signed over: it carries a threshold of signatures by a role's
// keys, or somebody vouched for its bytes. Only [Role.Verify], [Role.Believe] and [Draft.Sign] make
// one.
type Verified struct {
	*Document
	role     *Role
	believed bool
	signed   func() []string // see Signed
}

// verified returns a document of a role. Which of the role's keys signed it is found out when that
// is first asked.
func (r *Role) verified(d *Document) *Verified {
	return &Verified{Document: d, role: r, signed: sync.OnceValue(func() []string { return r.SignedBy(d) })}
}

// Role returns the role that the document was verified against, or is believed to be of.
func (v *Verified) Role() *Role { return v.role }

// Signed returns the digests of the role's keys that signed the document, ascending.
// The caller must not change them.
func (v *Verified) Signed() []string { return v.signed() }

// Believed reports whether the document was not verified by its role's keys, but believed.
func (v *Verified) Believed() bool { return v.believed }

// ErrThreshold says that too few of a role's keys have signed.
var ErrThreshold = errors.New("too few valid signatures")

// Verify checks that d is of the role's type and signed by a threshold of its keys (specification
// 5.2). A public key that is declared under two key IDs counts once. Expiry does not count. The
// error wraps ErrThreshold if signatures are missing, and is the role's Problem if it has one.
func (r *Role) Verify(d *Document) (*Verified, error) {
	if err := r.fits(d); err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for i, k := range r.Keys {
		sig, ok := d.sigs[k.ID]
		if ok && !signed[k.digest] && k.Verify(d.canonical, sig) == nil {
			signed[k.digest] = true
		}
		if len(signed) < r.Threshold {
			continue
		}
		v := r.verified(d)
		if i == len(r.Keys)-1 { // no other key can have signed
			all := slices.Sorted(maps.Keys(signed))
			v.signed = func() []string { return all }
		}
		return v, nil
	}
	return nil, fmt.Errorf("%w: %d of %d", ErrThreshold, len(signed), r.Threshold)
}

// Believe returns d as a document of the role whose signatures do not matter. It is for documents
// whose bytes are vouched for in another way: by length and SHA-256 in a snapshot that is trusted,
// or by the operator. The error says that d cannot be the role's.
func (r *Role) Believe(d *Document) (*Verified, error) {
	if err := r.fits(d); err != nil {
		return nil, err
	}
	v := r.verified(d)
	v.believed = true
	return v, nil
}

// fits returns an error unless d can be a document of the role.
func (r *Role) fits(d *Document) error {
	if r.err != nil {
		return r.err
	}
	if d.kind != r.kind {
		return fmt.Errorf("has type %q, not %q", d.kind, r.kind)
	}
	return nil
}

// A RootDocument is what a verified root says.
type RootDocument struct {
	*Verified
	Consistent bool // whether the repository has consistent snapshots (specification 6.2.1)
	Roles      map[string]*Role
}

// ParseRoot reads what a root document says. A root is trusted once both its own root role and the
// one of the version before verify it. Of the roles, only root's own has to make sense; each of the
// others is there, with a Problem if it does not.
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
		r.Roles[name] = parseRole(name, name, roles[i], keys)
	}
	if err := r.Roles[Root].err; err != nil {
		return nil, fmt.Errorf("signed.roles.root: %w", err)
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
