package tufmeta

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Draft is a document that has not been signed yet.
type Draft struct {
	base     *Document // the document that it follows, or an empty one
	version  []byte    // these are values in canonical form
	expires  []byte
	listings []listing // ascending
}

// A Change says how a document differs from the one that it follows.
type Change struct {
	Version int64     // more than the document's own, unless that is believed: no client counts its number
	Expires time.Time // cut to whole seconds

	List map[string]*Document // the files that a timestamp or snapshot is to list anew, by role
	// Pin has those of which length and SHA-256 are to be listed, even if they were not before.
	Pin map[string]bool
}

// Next drafts the document that follows v. An entry of a file that v lists already keeps its form:
// length and hashes are given where they were, and unknown fields stay. A new file is listed in the
// way that targets.json is. All other values stay as they are, byte for byte.
func (v *Verified) Next(c Change) (*Draft, error) {
	if c.Version <= v.version && !v.believed || c.Version == v.version || c.Version > MaxVersion {
		return nil, fmt.Errorf("version %d cannot follow %d", c.Version, v.version)
	}
	return draft(v.Document, c)
}

// New drafts a timestamp or snapshot that follows no other document.
func New(kind, specVersion string, c Change) (*Draft, error) {
	if kind != Timestamp && kind != Snapshot {
		return nil, fmt.Errorf("a document of type %q is not made from nothing", kind)
	}
	if c.Version < 1 || c.Version > MaxVersion {
		return nil, fmt.Errorf("version %d is not between 1 and %d", c.Version, int64(MaxVersion))
	}
	if !isSpecVersion(specVersion) {
		return nil, fmt.Errorf("spec_version: %q is neither 1.N nor 1.N.N", specVersion)
	}
	required := mustList(kind)
	if c.List[required] == nil {
		return nil, fmt.Errorf("does not list %s", required+Suffix)
	}
	empty, err := canonicalize(fmt.Appendf(nil, `{"_type":"%s","expires":"","meta":{},"spec_version":"%s","version":0}`,
		kind, specVersion), levelSigned)
	if err != nil {
		return nil, err
	}
	return draft(&Document{
		kind: kind, canonical: empty.out, fields: empty.kept[levelSigned], meta: empty.kept[levelMeta],
	}, c)
}

func draft(base *Document, c Change) (*Draft, error) {
	d := &Draft{
		base:    base,
		version: strconv.AppendInt(nil, c.Version, 10),
		expires: quote(c.Expires.UTC().Format(timeLayout)),
	}
	files := map[string]string{} // roles by file, whose order is not that of the roles
	for role := range c.List {
		files[role+Suffix] = role
	}
	if len(files) > 0 && base.meta == nil {
		return nil, fmt.Errorf("a document of type %q lists no files", base.kind)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := d.list(files[file], c); err != nil {
			return nil, fmt.Errorf("listing %s: %w", files[file], err)
		}
	}
	return d, nil
}

// A listing is a change of meta. The text, a name and its value, goes in the place of an entry or
// before it.
type listing struct {
	at       int // index in meta
	replaces bool
	text     []byte
}

// list changes the entry of a role.
func (d *Draft) list(role string, c Change) error {
	i, listed := d.base.find(role)
	before := d.base.model()
	if listed {
		before = d.base.meta[i].value.of(d.base.metaValue())
	}
	text, err := relist(before, c.List[role], c.Pin[role])
	if err != nil {
		return err
	}
	text = append(append(quote(role+Suffix), ':'), text...)
	d.listings = append(d.listings, listing{i, listed, text})
	return nil
}

// model returns the entry whose form new ones have. That of targets has it unless there is more in
// it than the specification says.
func (d *Document) model() value {
	i, ok := d.find(Targets)
	if ok {
		entry := d.meta[i].value.of(d.metaValue())
		names, _ := value(entry).members() // Parse has seen it
		for name := range names {
			ok = ok && (name == "version" || name == "length" || name == "hashes")
		}
		if ok {
			return entry
		}
	}
	return value(`{"version":0}`)
}

// size returns how many bytes write writes at most.
func (d *Draft) size() int {
	n := len(d.base.canonical) + len(d.version) + len(d.expires)
	for _, l := range d.listings {
		n += len(l.text) + 1
	}
	return n
}

// controls reports whether the draft may hold a control character.
func (d *Draft) controls() bool {
	return d.base.controls || slices.ContainsFunc(d.listings, func(l listing) bool {
		return slices.ContainsFunc(l.text, func(b byte) bool { return b < ' ' })
	})
}

// write appends the canonical form of the signed object to out.
func (d *Draft) write(out []byte) []byte {
	text, done := d.base.canonical, 0
	for _, m := range d.base.fields {
		switch string(m.name.of(text)) {
		case `"expires"`:
			out = append(append(out, text[done:m.value.start]...), d.expires...)
		case `"meta"`:
			out = d.writeMeta(append(out, text[done:m.value.start]...), m.value.of(text))
		case `"version"`:
			out = append(append(out, text[done:m.value.start]...), d.version...)
		default:
			continue
		}
		done = m.value.end
	}
	return append(out, text[done:]...)
}

// writeMeta appends meta, whose entries are base's but for the listings.
func (d *Draft) writeMeta(out []byte, base value) []byte {
	if len(d.listings) == 0 {
		return append(out, base...)
	}
	out = append(out, '{')
	start := len(out)
	add := func(text []byte) {
		if len(out) > start {
			out = append(out, ',')
		}
		out = append(out, text...)
	}
	done := 0 // entries of base
	keep := func(end int) {
		if done < end {
			add(base[d.base.meta[done].name.start:d.base.meta[end-1].value.end])
		}
		done = end
	}
	for _, l := range d.listings {
		keep(l.at)
		add(l.text)
		if l.replaces {
			done++
		}
	}
	keep(len(d.base.meta))
	return append(out, '}')
}

const timeLayout = "2006-01-02T15:04:05Z"

// isSpecVersion reports whether all clients read a version of the specification: major version 1,
// and one or two more numbers.
func isSpecVersion(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return parts[0] == "1" && (len(parts) == 2 || len(parts) == 3)
}
