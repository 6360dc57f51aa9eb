package tufmeta

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// CheckReadable returns an error unless every client reads a targets document, and takes it to say
// what was signed. It is for documents that are to be published: those that are published already
// are judged by what their role needs. The error names the place. The clients, and what they read
// less of than Parse does:
//
//   - python-tuf: expires in whole seconds with Z, spec_version as 1.N or 1.N.N, just one of paths
//     and path_hash_prefixes, keys of the kinds that securesystemslib knows;
//   - tuf-js: names that UTF-16 orders as code points do, integers up to 2^53-1, spec_version as
//     python-tuf;
//   - go-tuf: integers up to 2^53-1, and what it writes as it was: it verifies its own rendering of
//     what it has read, and takes a member whose name differs in case for the real one.
func (d *Document) CheckReadable() error {
	if d.kind != Targets {
		return fmt.Errorf("signed._type: %q is not %q", d.kind, Targets)
	}
	if d.misread != nil {
		return d.misread
	}
	if err := d.checkSignaturesReadable(); err != nil {
		return err
	}
	if err := d.checkSignedReadable(); err != nil {
		return fmt.Errorf("signed%w", err)
	}
	w := walker{text: d.canonical}
	if err := w.value(); err != nil {
		return fmt.Errorf("signed%w", err)
	}
	return nil
}

func (d *Document) checkSignaturesReadable() error {
	list, err := d.signatures.elements()
	if err != nil {
		return fmt.Errorf("signatures: %w", err)
	}
	for sig := range list {
		if err := checkNames(sig, "keyid", "sig"); err != nil {
			return fmt.Errorf("signatures%w", err)
		}
	}
	return nil
}

func (d *Document) checkSignedReadable() error {
	err := checkNames(d.canonical, "_type", "spec_version", "version", "expires", "targets", "delegations")
	if err != nil {
		return err
	}
	if !isSpecVersion(d.SpecVersion()) {
		return fmt.Errorf(".spec_version: %q is neither 1.N nor 1.N.N", d.SpecVersion())
	}
	expires, err := d.field("expires").text()
	if err != nil || d.expires.UTC().Format(timeLayout) != expires || d.expires.Year() < 1 {
		return fmt.Errorf(".expires: %q is not of the form YYYY-MM-DDTHH:MM:SSZ", expires)
	}
	if err := checkTargetsReadable(d.field("targets")); err != nil {
		return fmt.Errorf(".targets%w", err)
	}
	ds, err := ParseDelegations(d)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "signed"))
	}
	if err := ds.checkReadable(d.field("delegations")); err != nil {
		return fmt.Errorf(".delegations%w", err)
	}
	return nil
}

// checkTargetsReadable checks what ParseDelegations leaves: there may be very many targets.
func checkTargetsReadable(targets value) error {
	files, err := targets.open()
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	for files.next() {
		members, err := files.value.open()
		if err != nil {
			return fmt.Errorf("[%s]: %w", files.name, err)
		}
		for members.next() {
			switch string(members.name) {
			case `"length"`:
			case `"hashes"`:
				hashes, err := members.value.open()
				if err != nil {
					return fmt.Errorf("[%s].hashes: %w", files.name, err)
				}
				for hashes.next() {
					if strings.ContainsAny(string(hashes.value), "ABCDEF") {
						return fmt.Errorf("[%s].hashes.%s: upper-case hex, which go-tuf writes in lower case", files.name, hashes.name)
					}
				}
			case `"custom"`:
				if string(members.value) == "null" {
					return fmt.Errorf("[%s].custom: null, which go-tuf leaves out", files.name)
				}
			default:
				if known := likeOne(members.name, "length", "hashes", "custom"); known != "" {
					return fmt.Errorf("[%s].%s: go-tuf takes it for %q", files.name, members.name, known)
				}
			}
		}
	}
	return nil
}

func (ds *Delegations) checkReadable(object value) error {
	if object == nil {
		return nil
	}
	if len(ds.problems) > 0 {
		return fmt.Errorf(".%w", ds.problems[0])
	}
	if err := checkNames(object, "keys", "roles", "succinct_roles"); err != nil {
		return err
	}
	fields, err := object.fields("keys", "roles", "succinct_roles")
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	keys, err := fields[0].members()
	if err != nil {
		return fmt.Errorf(".keys: %w", err)
	}
	for id, key := range keys {
		if err := ds.keys[id].checkReadable(key); err != nil {
			return fmt.Errorf(".keys[%q]%w", id, err)
		}
	}
	for role := range ds.Declared() {
		for _, key := range role.Keys {
			if key.err != nil {
				return fmt.Errorf(".roles: %q: keyids: %w", role.Name, key.err)
			}
		}
	}
	if fields[2] != nil {
		if err := checkNames(fields[2], "keyids", "threshold", "bit_length", "name_prefix"); err != nil {
			return fmt.Errorf(".succinct_roles%w", err)
		}
		return nil
	}
	roles, err := fields[1].elements()
	if err != nil {
		return fmt.Errorf(".roles: %w", err)
	}
	n := 0
	for role := range roles {
		if err := checkRoleReadable(role); err != nil {
			return fmt.Errorf(".roles[%d]%w", n, err)
		}
		n++
	}
	if n == 0 {
		return errors.New(".roles: empty, which go-tuf leaves out")
	}
	return nil
}

func checkRoleReadable(role value) error {
	err := checkNames(role, "name", "keyids", "threshold", "terminating", "paths", "path_hash_prefixes")
	if err != nil {
		return err
	}
	fields, err := role.fields("paths", "path_hash_prefixes", "name")
	if err == nil && bytes.ContainsFunc(fields[2], func(r rune) bool { return r > 0xffff }) {
		err = errors.New("name: a snapshot would list it, and tuf-js orders names with characters beyond U+FFFF otherwise")
	}
	if err == nil && (fields[0] == nil) == (fields[1] == nil) {
		err = errors.New("not just one of paths and path_hash_prefixes")
	}
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	return nil
}

// checkReadable returns an error if a client cannot read the key, and so no document that has it.
func (k *Key) checkReadable(object value) error {
	if k.err != nil {
		return fmt.Errorf(": %w", k.err)
	}
	if err := checkNames(object, "keytype", "scheme", "keyval"); err != nil {
		return err
	}
	fields, err := object.fields("keyval")
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	if err := checkNames(fields[0], "public"); err != nil {
		return fmt.Errorf(".keyval%w", err)
	}
	members, err := fields[0].members()
	if err != nil {
		return fmt.Errorf(".keyval: %w", err)
	}
	for name, member := range members {
		if _, err := member.text(); err != nil { // or tuf-js does not read the document
			return fmt.Errorf(".keyval[%q]: %w", name, err)
		}
	}
	if k.KeyType != "rsa" && k.KeyType != "ecdsa" && k.KeyType != k.Scheme {
		return fmt.Errorf(": keytype %q with scheme %q, which python-tuf does not read", k.KeyType, k.Scheme)
	}
	return nil
}

// checkNames returns an error if go-tuf takes a member of an object for one of those that are
// known.
func checkNames(object value, known ...string) error {
	members, err := object.open()
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	for members.next() {
		if like := likeOne(members.name, known...); like != "" {
			return fmt.Errorf(".%s: go-tuf takes it for %q", members.name, like)
		}
	}
	return nil
}

// likeOne returns the known name from which a quoted one differs in nothing but case, "" if there
// is none.
func likeOne(quoted []byte, known ...string) string {
	name := string(unquote(quoted))
	for _, k := range known {
		if name != k && strings.EqualFold(name, k) {
			return k
		}
	}
	return ""
}

// A walker goes over canonical JSON once and finds what clients in JavaScript read otherwise:
// integers that they round, and objects whose names they sort in another way.
type walker struct {
	text value
	pos  int
}

const maxSafeInteger = 1<<53 - 1

func (w *walker) value() error {
	switch w.text[w.pos] {
	case '"':
		w.pos = w.text.afterString(w.pos)
	case '{':
		return w.object()
	case '[':
		return w.array()
	case 't', 'n':
		w.pos += len("true")
	case 'f':
		w.pos += len("false")
	default:
		start := w.pos
		for w.pos++; w.text[w.pos] >= '0' && w.text[w.pos] <= '9'; {
			w.pos++
		}
		n, err := strconv.ParseInt(string(w.text[start:w.pos]), 10, 64)
		if err != nil || n > maxSafeInteger || n < -maxSafeInteger {
			return fmt.Errorf(": %s is beyond 2^53-1", w.text[start:w.pos])
		}
	}
	return nil
}

func (w *walker) object() error {
	var last value
	for w.pos++; w.text[w.pos] != '}'; {
		if w.text[w.pos] == ',' {
			w.pos++
		}
		name := w.text[w.pos:w.text.afterString(w.pos)]
		if otherOrderInUTF16(last, name) {
			return fmt.Errorf(": the names %s and %s have another order in UTF-16", last, name)
		}
		last = name
		w.pos += len(name) + 1
		if err := w.value(); err != nil {
			return fmt.Errorf("[%s]%w", name, err)
		}
	}
	w.pos++
	return nil
}

func (w *walker) array() error {
	n := 0
	for w.pos++; w.text[w.pos] != ']'; n++ {
		if w.text[w.pos] == ',' {
			w.pos++
		}
		if err := w.value(); err != nil {
			return fmt.Errorf("[%d]%w", n, err)
		}
	}
	w.pos++
	return nil
}

// otherOrderInUTF16 reports whether the names a and b, which code points order so, are the other
// way round in UTF-16: there, a character beyond the first 65,536 sorts before those from U+E000
// on.
func otherOrderInUTF16(a, b []byte) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] >= 0xEE && a[i] < 0xF0 && b[i] >= 0xF0 // first bytes of UTF-8
		}
	}
	return false
}
