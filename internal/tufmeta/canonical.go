package tufmeta

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds recursion. TUF's own objects nest six deep; custom fields may go on from there.
const maxDepth = 128

// A span is a range of bytes.
type span struct{ start, end int }

func (s span) of(b []byte) []byte { return b[s.start:s.end] }

// A member is where one name and value of a JSON object lie in its canonical form. Offsets are
// relative to the object's opening brace, so they hold wherever the object moves.
type member struct {
	name  span // with its quotes
	value span
}

// Canonicalization in one pass. As long as a text is canonical already, nothing is written: many
// tools write files so, and those may be large. From where it is not, members of an object are
// written as they come; only an object whose names were not ascending is rearranged afterwards.
// Well-known tools write them ascending, so this is rare.
type canonicalizer struct {
	src  []byte
	pos  int
	out  []byte // the canonical form, once it differs from what was read
	same bool   // it does not yet: it is src[:pos]

	controls bool // a string holds a control character, so that the canonical form is not JSON
	spelled  bool // a character of dates or hex digits is written as an escape

	spare []byte // for rearranging

	// kept holds the members of the objects that matter for editing, ascending by name. It is
	// indexed by level.
	kept [levelOther][]member
}

// The objects whose members are kept.
type level int

const (
	levelTop    level = iota // the whole text
	levelSigned              // its member "signed"
	levelMeta                // that one's member "meta"
	levelObject              // an object that is a text of its own
	levelOther
)

func (l level) child(name []byte) level {
	switch {
	case l == levelTop && string(name) == `"signed"`:
		return levelSigned
	case l == levelSigned && string(name) == `"meta"`:
		return levelMeta
	}
	return levelOther
}

// canonicalize returns the canonical form (OLPC canonical JSON, specification 4.1) of a text that
// has to be one JSON object; of a whole file (levelTop), whose own form is of no matter, that of
// the members, in the order in which they come. It refuses what could be read in two ways or what
// canonical JSON has no form for: duplicate names, numbers that are no int64 (floating point among
// them) and negative zero, invalid UTF-8 and lone surrogates, trailing bytes, and nesting beyond
// maxDepth.
func canonicalize(src []byte, l level) (*canonicalizer, error) {
	if !utf8.Valid(src) {
		return nil, errors.New("invalid UTF-8")
	}
	c := &canonicalizer{src: src, same: true}
	c.space()
	if c.peek() != '{' {
		return nil, c.errorf("not a JSON object")
	}
	if err := c.object(l, maxDepth); err != nil {
		return nil, err
	}
	end := c.pos
	if c.blank(); c.pos != len(src) {
		return nil, c.errorf("data after the JSON object")
	}
	if c.same {
		c.out = src[:end]
	}
	c.spare = nil
	return c, nil
}

// size is the length of the canonical form so far, text what it is.
func (c *canonicalizer) size() int {
	if c.same {
		return c.pos
	}
	return len(c.out)
}

func (c *canonicalizer) text() []byte {
	if c.same {
		return c.src
	}
	return c.out
}

// differ begins to write: what has been read up to here is canonical, what follows is not.
func (c *canonicalizer) differ() {
	if c.same {
		c.same = false
		c.out = append(make([]byte, 0, len(c.src)), c.src[:c.pos]...)
	}
}

// take reads n bytes that are canonical as they stand.
func (c *canonicalizer) take(n int) {
	if !c.same {
		c.out = append(c.out, c.src[c.pos:c.pos+n]...)
	}
	c.pos += n
}

// put writes text in the place of the next n bytes.
func (c *canonicalizer) put(n int, text ...byte) {
	c.differ()
	c.out = append(c.out, text...)
	c.pos += n
}

func (c *canonicalizer) errorf(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", c.pos, fmt.Sprintf(format, args...))
}

// peek returns the next byte, or 0 (which is part of no JSON text) at the end.
func (c *canonicalizer) peek() byte {
	if c.pos < len(c.src) {
		return c.src[c.pos]
	}
	return 0
}

// blank passes over white space where the canonical form goes no further; space where it does.
func (c *canonicalizer) blank() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\n', '\t', '\r':
			c.pos++
		default:
			return
		}
	}
}

func (c *canonicalizer) space() {
	if b := c.peek(); b == ' ' || b == '\n' || b == '\t' || b == '\r' {
		c.differ()
		c.blank()
	}
}

func (c *canonicalizer) value(l level, depth int) error {
	switch b := c.peek(); {
	case b == '"':
		return c.string()
	case b == '{':
		return c.object(l, depth)
	case b == '[':
		return c.array(depth)
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	}
	return c.errorf("not a JSON value")
}

func (c *canonicalizer) object(l level, depth int) error {
	if depth == 0 {
		return c.errorf("nested more than %d deep", maxDepth)
	}
	start := c.size()
	var (
		members   []member // if they are kept
		last      span     // name
		ascending = true
	)
	if l < levelOther {
		members = make([]member, 0, 8)
	}
	c.take(1)
	for c.space(); c.peek() != '}'; c.space() {
		if last.end > 0 {
			if c.peek() != ',' {
				return c.errorf("no comma or closing brace after a member")
			}
			c.take(1)
			c.space()
		}
		if c.peek() != '"' {
			return c.errorf("no member name")
		}
		var m member
		m.name.start = c.size()
		if err := c.string(); err != nil {
			return err
		}
		m.name.end = c.size()
		if last.end > 0 {
			switch compareNames(last.of(c.text()), m.name.of(c.text())) {
			case 0:
				return c.errorf("duplicate member %s", m.name.of(c.text()))
			case 1:
				ascending = false
			}
		}
		last = m.name
		c.space()
		if c.peek() != ':' {
			return c.errorf("no colon after a member name")
		}
		c.take(1)
		c.space()
		m.value.start = c.size()
		if err := c.value(l.child(m.name.of(c.text())), depth-1); err != nil {
			return err
		}
		m.value.end = c.size()
		if l < levelOther {
			members = append(members, m)
		}
	}
	if !ascending {
		if l == levelOther { // which may have very many, so they are looked for only where this is needed
			members = split(c.text()[:c.size()], start+1)
		}
		if err := c.rearrange(members, start+1, l); err != nil {
			return err
		}
	}
	c.take(1)
	if l < levelOther {
		c.kept[l] = relative(members, start)
	}
	return nil
}

// split returns the members of an object whose canonical text goes from start to the end of text,
// without the braces.
func split(text []byte, start int) (members []member) {
	for pos := start; pos < len(text); {
		if text[pos] == ',' {
			pos++
		}
		var m member
		m.name = span{pos, pos + value(text[pos:]).length()}
		m.value.start = m.name.end + 1
		m.value.end = m.value.start + value(text[m.value.start:]).length()
		members = append(members, m)
		pos = m.value.end
	}
	return members
}

// rearrange sorts the members of an object whose canonical text begins at start and goes to the end
// of the output. Of a whole file only the members count, so their texts stay where they are.
func (c *canonicalizer) rearrange(members []member, start int, l level) error {
	text := c.text()
	slices.SortFunc(members, func(a, b member) int { return compareNames(a.name.of(text), b.name.of(text)) })
	for i := range members[1:] {
		if name := members[i+1].name.of(text); bytes.Equal(members[i].name.of(text), name) {
			return c.errorf("duplicate member %s", name)
		}
	}
	if l == levelTop {
		return nil
	}
	c.differ()
	c.spare = c.spare[:0]
	for i := range members {
		m := &members[i]
		if i > 0 {
			c.spare = append(c.spare, ',')
		}
		shift := start + len(c.spare) - m.name.start
		c.spare = append(c.spare, c.out[m.name.start:m.value.end]...)
		m.name = span{m.name.start + shift, m.name.end + shift}
		m.value = span{m.value.start + shift, m.value.end + shift}
	}
	c.out = append(c.out[:start], c.spare...)
	return nil
}

func relative(members []member, start int) []member {
	for i, m := range members {
		members[i] = member{span{m.name.start - start, m.name.end - start}, span{m.value.start - start, m.value.end - start}}
	}
	return members
}

// compareNames orders two canonical names by code point. Their escapes would come in the way: a
// quote sorts before a letter, its backslash after a capital one.
func compareNames(a, b []byte) int {
	if bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		// Without the closing quotes, which would sort above a space.
		return bytes.Compare(a[:len(a)-1], b[:len(b)-1])
	}
	return bytes.Compare(unquote(a), unquote(b))
}

func (c *canonicalizer) array(depth int) error {
	if depth == 0 {
		return c.errorf("nested more than %d deep", maxDepth)
	}
	c.take(1)
	c.space()
	for empty := true; c.peek() != ']'; empty = false {
		if !empty {
			if c.peek() != ',' {
				return c.errorf("no comma or closing bracket after an element")
			}
			c.take(1)
			c.space()
		}
		if err := c.value(levelOther, depth-1); err != nil {
			return err
		}
		c.space()
	}
	c.take(1)
	return nil
}

func (c *canonicalizer) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(word)) {
		return c.errorf("not a JSON value")
	}
	c.take(len(word))
	return nil
}

func (c *canonicalizer) number() error {
	end := c.pos
	if c.src[end] == '-' {
		end++
	}
	digits := end
	for end < len(c.src) && '0' <= c.src[end] && c.src[end] <= '9' {
		end++
	}
	text, next := c.src[c.pos:end], byte(0)
	if end < len(c.src) {
		next = c.src[end]
	}
	switch {
	case end == digits, c.src[digits] == '0' && end > digits+1:
		return c.errorf("malformed number")
	case next == '.' || next == 'e' || next == 'E':
		return c.errorf("floating point number")
	case string(text) == "-0":
		return c.errorf("negative zero")
	}
	if len(text) > 18 { // shorter ones always fit
		if _, err := strconv.ParseInt(string(text), 10, 64); err != nil {
			return c.errorf("number out of range")
		}
	}
	c.take(len(text))
	return nil
}
