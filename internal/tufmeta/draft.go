package tufmeta

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// A Draft is the successor of a verified document, not signed yet.
type Draft struct {
	base      *Verified
	raw       []edit // of the file's signed object
	canonical []edit // of its canonical form
	same      bool   // they are the same, and so are the two texts
}

// A Change is what a document's successor differs in.
type Change struct {
	Version int64                // more than the document's own
	Expires time.Time            // cut to whole seconds
	List    map[string]*Document // the files that a timestamp or snapshot is to list anew, by role
	Pin     map[string]bool      // those of them of which length and hash are to be listed even if they were not before
}

// Next drafts the document that follows v. A file that v lists already keeps the form of its entry:
// length and hashes are given where they were, and unknown fields stay. A new file is listed in the
// way that targets.json is. What is listed never leaves.
func (v *Verified) Next(c Change) (*Draft, error) {
	if c.Version <= v.version || c.Version > MaxVersion {
		return nil, fmt.Errorf("version %d cannot follow %d", c.Version, v.version)
	}
	e := editor{doc: v.Document}
	e.set("version", strconv.AppendInt(nil, c.Version, 10))
	e.set("expires", quote(c.Expires.UTC().Format("2006-01-02T15:04:05Z")))
	for _, role := range slices.Sorted(maps.Keys(c.List)) { // in order, since new entries may have the same place
		if err := e.list(role, c.List[role], c.Pin[role]); err != nil {
			return nil, fmt.Errorf("listing %s: %w", role, err)
		}
	}
	d := &Draft{base: v, raw: e.raw, canonical: e.canonical, same: v.same}
	for i := range d.raw {
		d.same = d.same && bytes.Equal(d.raw[i].text, d.canonical[i].text)
	}
	return d, nil
}

// An editor gathers changes of a document's signed object, in the text as it was read and in the
// canonical form.
type editor struct {
	doc            *Document
	raw, canonical []edit // as many
}

// set replaces a scalar field of the signed object by one in canonical form.
func (e *editor) set(name string, text []byte) {
	m, _ := e.doc.member(name) // Parse has seen it
	e.replace(0, 0, m, text, text)
}

// replace puts texts in the place of a member's value. The offsets are those of the object that the
// member is in.
func (e *editor) replace(raw, canonical int, m member, text, canonicalText []byte) {
	e.raw = append(e.raw, edit{span{raw + m.srcValue.start, raw + m.srcValue.end}, text})
	e.canonical = append(e.canonical, edit{span{canonical + m.canonical.start, canonical + m.canonical.end},
		canonicalText})
}

// list makes the entry of a role's file in meta say what d is.
func (e *editor) list(role string, d *Document, pin bool) error {
	meta, _ := e.doc.member("meta")
	raw, rawStart := meta.srcValue.of(e.doc.signed.of(e.doc.raw)), meta.srcValue.start
	i, listed := e.doc.find(role)
	if !listed {
		return e.insert(role, d, pin, i, raw, rawStart, meta.canonical)
	}
	m := e.doc.meta[i]
	text, canonical, err := relist(m.srcValue.of(raw), d, pin)
	if err != nil {
		return err
	}
	e.replace(rawStart, meta.canonical.start, m, text, canonical)
	return nil
}

// insert adds an entry that has its canonical place before the i-th, in the layout of the entry for
// targets, which every snapshot has.
func (e *editor) insert(role string, d *Document, pin bool, i int, raw []byte, rawStart int, canonicalMeta span) error {
	t, ok := e.doc.find(Targets)
	if !ok {
		return fmt.Errorf("there is no entry for %s", Targets)
	}
	model := e.doc.meta[t]
	value := []byte(`{"version":0}`)
	if text := model.srcValue.of(raw); plainEntry(text) {
		value = text
	}
	text, canonical, err := relist(value, d, pin)
	if err != nil {
		return err
	}
	name := quote(role + Suffix)
	colon := raw[model.srcName.end:model.srcValue.start]
	text = bytes.Join([][]byte{name, colon, text}, nil)
	canonical = bytes.Join([][]byte{name, []byte(":"), canonical}, nil)

	if i > 0 { // after the one before it
		before := e.doc.meta[i-1]
		e.insertAt(rawStart+before.srcValue.end, canonicalMeta.start+before.canonical.end,
			append([]byte{','}, append(leading(raw, before.srcName.start), text...)...), append([]byte{','}, canonical...))
		return nil
	}
	after := e.doc.meta[0]
	e.insertAt(rawStart+after.srcName.start, canonicalMeta.start+after.name.start,
		append(append(text, ','), leading(raw, after.srcName.start)...), append(canonical, ','))
	return nil
}

func (e *editor) insertAt(raw, canonical int, text, canonicalText []byte) {
	e.raw = append(e.raw, edit{span{raw, raw}, text})
	e.canonical = append(e.canonical, edit{span{canonical, canonical}, canonicalText})
}

// leading returns a copy of the white space that ends at end.
func leading(text []byte, end int) []byte {
	before := text[:end]
	return bytes.Clone(before[len(bytes.TrimRight(before, " \t\r\n")):])
}

// plainEntry reports whether an entry has no fields but those of the specification, so that it can
// serve as a model for others.
func plainEntry(entry []byte) bool {
	c, err := canonicalize(entry, levelObject)
	if err != nil {
		return false
	}
	for _, m := range c.kept[levelObject] {
		switch string(m.name.of(c.out)) {
		case `"version"`, `"length"`, `"hashes"`:
		default:
			return false
		}
	}
	return true
}
