package tufmeta

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"time"
	"unsafe"
)

// A Document is a well-formed signed document that nobody has verified.
type Document struct {
	raw       []byte
	canonical []byte // of the member "signed"; part of raw if that is canonical
	same      bool   // it is

	signatures value    // in canonical form
	fields     []member // of "signed", ascending
	meta       []member // of its "meta", ascending; nil if it has none
	controls   bool     // canonical holds a control character, so it is not JSON
	misread    error    // what clients read otherwise, although nothing is wrong with it

	kind    string
	version int64
	expires time.Time
	sigs    map[string][]byte // by key ID, without the empty ones
}

// Parse reads a document in any layout. It keeps raw, which must not change afterwards. What it
// checks is the form: JSON without ambiguities (see canonicalize), signatures with unique key IDs,
// and of the signed object its type, specification version (1.x), version, expiry, and that what
// its type requires is there.
func Parse(raw []byte) (*Document, error) {
	c, err := canonicalize(raw, levelTop)
	if err != nil {
		return nil, err
	}
	d := &Document{raw: raw, same: c.same, fields: c.kept[levelSigned], meta: c.kept[levelMeta], controls: c.controls}
	if c.spelled {
		d.misread = errors.New("a letter or digit is written as an escape, which go-tuf does not resolve in dates and hex")
	}
	for _, m := range c.kept[levelTop] {
		switch name := m.name.of(c.out); string(name) {
		case `"signed"`:
			d.canonical = m.value.of(c.out)
		case `"signatures"`:
			d.signatures = m.value.of(c.out)
		default:
			if known := likeOne(name, "signed", "signatures"); known != "" {
				d.misread = fmt.Errorf("%s: go-tuf takes it for %q", name, known)
			}
		}
	}
	if d.sigs, err = parseSignatures(d.signatures); err != nil {
		return nil, fmt.Errorf("signatures%w", err)
	}
	if err := d.parseSigned(); err != nil {
		return nil, fmt.Errorf("signed%w", err)
	}
	return d, nil
}

func parseSignatures(v value) (map[string][]byte, error) {
	list, err := v.elements()
	if err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	sigs, seen := map[string][]byte{}, map[string]bool{}
	for e := range list {
		fields, err := e.fields("keyid", "sig")
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", len(seen), err)
		}
		id, err := fields[0].text()
		if err != nil {
			return nil, fmt.Errorf("[%d].keyid: %w", len(seen), err)
		}
		text, err := fields[1].text()
		if err != nil {
			return nil, fmt.Errorf("[%d].sig: %w", len(seen), err)
		}
		sig, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("[%d].sig: %w", len(seen), err)
		}
		if seen[id] {
			return nil, fmt.Errorf("[%d].keyid: %q is there twice", len(seen), id)
		}
		seen[id] = true
		if len(sig) > 0 { // an empty one is how tuf-on-ci says that a signature is still to come
			sigs[id] = sig
		}
	}
	return sigs, nil
}

func (d *Document) parseSigned() error {
	if d.canonical == nil {
		return fmt.Errorf(": %w", errMissing)
	}
	if d.canonical[0] != '{' {
		return errors.New(": not an object")
	}
	var err error
	if d.kind, err = d.field("_type").text(); err != nil {
		return fmt.Errorf("._type: %w", err)
	}
	spec, err := d.field("spec_version").text()
	if err != nil {
		return fmt.Errorf(".spec_version: %w", err)
	}
	if major, _, _ := strings.Cut(spec, "."); major != "1" {
		return fmt.Errorf(".spec_version: %q is not 1.x", spec)
	}
	if d.version, err = d.field("version").version(); err != nil {
		return fmt.Errorf(".version: %w", err)
	}
	expires, err := d.field("expires").text()
	if err != nil {
		return fmt.Errorf(".expires: %w", err)
	}
	if d.expires, err = time.Parse(time.RFC3339, expires); err != nil {
		return fmt.Errorf(".expires: %w", err)
	}
	switch d.kind {
	case Root:
		return nil // see ParseRoot
	case Timestamp, Snapshot:
		return d.checkMeta()
	case Targets:
		if _, err := d.field("targets").members(); err != nil {
			return fmt.Errorf(".targets: %w", err)
		}
		return nil
	}
	return fmt.Errorf("._type: unknown type %q", d.kind)
}

func (d *Document) checkMeta() error {
	if d.meta == nil {
		return errors.New(".meta: missing, or not an object")
	}
	for i := range d.meta {
		if _, err := d.entry(i); err != nil {
			return fmt.Errorf(".meta.%s: %w", d.metaName(i), err)
		}
	}
	if d.kind == Timestamp && len(d.meta) != 1 {
		return fmt.Errorf(".meta: lists %d files, not just snapshot.json", len(d.meta))
	}
	if _, ok := d.find(mustList(d.kind)); !ok {
		return fmt.Errorf(".meta: does not list %s", mustList(d.kind)+Suffix)
	}
	return nil
}

// mustList returns the role whose file each timestamp or snapshot lists.
func mustList(kind string) string {
	if kind == Timestamp {
		return Snapshot
	}
	return Targets
}

// member returns where the named member of the signed object lies.
func (d *Document) member(name string) (member, bool) {
	quoted := quote(name)
	i, ok := sort.Find(len(d.fields), func(i int) int { return compareNames(quoted, d.fields[i].name.of(d.canonical)) })
	if !ok {
		return member{}, false
	}
	return d.fields[i], true
}

// field returns a member of the signed object, nil if it is missing.
func (d *Document) field(name string) value {
	m, ok := d.member(name)
	if !ok {
		return nil
	}
	return m.value.of(d.canonical)
}

// Bytes returns the document as it was read, or is to be written. Do not change it.
func (d *Document) Bytes() []byte { return d.raw }

// HasTargets reports whether a targets document lists a target file.
func (d *Document) HasTargets() bool { return string(d.field("targets")) != "{}" }

// SignedSum returns the SHA-256 of what is signed, in canonical form.
func (d *Document) SignedSum() [sha256.Size]byte { return sha256.Sum256(d.canonical) }

// Size estimates how many bytes of memory the document takes.
func (d *Document) Size() int64 {
	size := cap(d.raw) + int(unsafe.Sizeof(member{}))*(cap(d.fields)+cap(d.meta)) + 256*len(d.sigs)
	if !d.same {
		size += cap(d.canonical)
	}
	return int64(size)
}

// Type returns the document's type, which is a top-level role's name; delegated roles have type
// targets.
func (d *Document) Type() string { return d.kind }

// SpecVersion returns the version of the specification that the document says it follows.
func (d *Document) SpecVersion() string {
	text, _ := d.field("spec_version").text() // Parse has seen it
	return text
}

// Version returns the document's version, from 1 to MaxVersion.
func (d *Document) Version() int64 { return d.version }

// Expires returns when the document expires.
func (d *Document) Expires() time.Time { return d.expires }

// Repeats reports whether d says what other says, but for its version and when it expires.
func (d *Document) Repeats(other *Document) bool {
	return slices.EqualFunc(d.fields, other.fields, func(a, b member) bool {
		name := string(a.name.of(d.canonical))
		return name == string(b.name.of(other.canonical)) &&
			(name == `"version"` || name == `"expires"` ||
				bytes.Equal(a.value.of(d.canonical), b.value.of(other.canonical)))
	})
}

// A FileInfo is what a timestamp or snapshot lists of a file.
type FileInfo struct {
	Version int64
	Length  int64             // 0 if not listed
	Hashes  map[string]string // lower-case hex by algorithm; nil if none is listed
}

func (d *Document) metaValue() value { return d.field("meta") }

func (d *Document) metaName(i int) string {
	return string(unquote(d.meta[i].name.of(d.metaValue())))
}

// An entry is a FileInfo as it stands.
type entry struct {
	version, length int64
	hashes          value
}

func (d *Document) entry(i int) (entry, error) {
	return parseEntry(d.meta[i].value.of(d.metaValue()))
}

// parseEntry checks an entry of meta. There may be very many, so it allocates nothing.
func parseEntry(v value) (e entry, err error) {
	c, err := v.open()
	if err != nil {
		return e, err
	}
	var version, length value
	for c.next() {
		switch string(c.name) {
		case `"version"`:
			version = c.value
		case `"length"`:
			length = c.value
		case `"hashes"`:
			e.hashes = c.value
		}
	}
	if e.version, err = version.version(); err != nil {
		return e, fmt.Errorf("version: %w", err)
	}
	if length != nil {
		if e.length, err = length.integer(); err != nil {
			return e, fmt.Errorf("length: %w", err)
		}
		if e.length < 1 {
			return e, fmt.Errorf("length: %d is not positive", e.length)
		}
	}
	if e.hashes == nil {
		return e, nil
	}
	hashes, err := e.hashes.open()
	if err != nil {
		return e, fmt.Errorf("hashes: %w", err)
	}
	for hashes.next() {
		if hashes.value[0] != '"' {
			return e, fmt.Errorf("hashes.%s: not a string", unquote(hashes.name))
		}
	}
	return e, nil
}

// info returns the entry for others.
func (e entry) info() FileInfo {
	info := FileInfo{Version: e.version, Length: e.length}
	if e.hashes == nil {
		return info
	}
	hashes, _ := e.hashes.members() // parseEntry has seen them
	for algorithm, digest := range hashes {
		if info.Hashes == nil {
			info.Hashes = map[string]string{}
		}
		info.Hashes[algorithm] = strings.ToLower(string(unquote(digest)))
	}
	return info
}

// find returns the place of a role in meta, or where it would be.
func (d *Document) find(role string) (int, bool) {
	quoted, meta := quote(role+Suffix), d.metaValue()
	return sort.Find(len(d.meta), func(i int) int { return compareNames(quoted, d.meta[i].name.of(meta)) })
}

// Listed returns what a timestamp or snapshot lists of a role's file.
func (d *Document) Listed(role string) (FileInfo, bool) {
	i, ok := d.find(role)
	if !ok {
		return FileInfo{}, false
	}
	e, err := d.entry(i)
	return e.info(), err == nil // Parse has seen it
}

// Len returns how many files a timestamp or snapshot lists.
func (d *Document) Len() int { return len(d.meta) }

// ListedRoles returns the names of the roles that a timestamp or snapshot lists, with their
// versions, in canonical order.
func (d *Document) ListedRoles() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for i := range d.meta {
			name, ok := strings.CutSuffix(d.metaName(i), Suffix)
			if !ok {
				continue
			}
			e, err := d.entry(i)
			if err != nil {
				continue // cannot be: Parse has seen it
			}
			if !yield(name, e.version) {
				return
			}
		}
	}
}
