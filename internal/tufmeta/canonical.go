package tufmeta

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds recursion. TUF's own objects nest six deep; custom fields may go on from there.
const maxDepth = 128

// A span is a range of bytes.
type span struct{ start, end int }

func (s span) of(b []byte) []byte { return b[s.start:s.end] }

// A member is one name and value of a JSON object, as places in two texts: the source, and its canonical form. Offsets are relative to
// the object's opening brace in either text, so they hold wherever the object moves.
type member struct {
	srcName   span // with its quotes
	srcValue  span
	name      span // with its quotes
	canonical span // of the value
}

// Canonicalization in one pass. Members of an object are written as they come; only an object whose names were not ascending is
// rearranged afterwards. Well-known tools write them ascending, so this is rare.
type canonicalizer struct {
	src []byte
	pos int
	out []byte
	top int // where the text's object begins in src

	open  []member // members of the objects that are open, offsets absolute
	spare []byte   // for rearranging

	// kept holds the members of the objects that matter for editing, ascending by name. It is indexed by level.
	kept [levelOther][]member
}

// The objects whose members are kept.
type level int

const (
	levelTop    level = iota // the whole text
	levelSigned              // its member "signed"
	levelMeta                // that one's member "meta"
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

// canonicalize returns the canonical form (OLPC canonical JSON, specification 4.1) of a text that has to be one JSON object.
// It refuses what could be read in two ways or what canonical JSON has no form for: duplicate names, numbers that are no int64
// (floating point among them) and negative zero, invalid UTF-8 and lone surrogates, trailing bytes, and nesting beyond maxDepth.
func canonicalize(src []byte) (*canonicalizer, error) {
	if !utf8.Valid(src) {
		return nil, errors.New("invalid UTF-8")
	}
	c := &canonicalizer{src: src, out: make([]byte, 0, len(src))}
	c.space()
	c.top = c.pos
	if c.peek() != '{' {
		return nil, c.errorf("not a JSON object")
	}
	if err := c.object(levelTop, maxDepth); err != nil {
		return nil, err
	}
	c.space()
	if c.pos != len(src) {
		return nil, c.errorf("data after the JSON object")
	}
	c.open, c.spare = nil, nil
	return c, nil
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

func (c *canonicalizer) space() {
	for c.pos < len(c.src) {
		switch c.src[c.pos] {
		case ' ', '\n', '\t', '\r':
			c.pos++
		default:
			return
		}
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
	srcStart, outStart, first := c.pos, len(c.out), len(c.open)
	ascending := true
	c.pos++
	c.out = append(c.out, '{')
	for c.space(); c.peek() != '}'; c.space() {
		if len(c.open) > first {
			if c.peek() != ',' {
				return c.errorf("no comma or closing brace after a member")
			}
			c.pos++
			c.out = append(c.out, ',')
			c.space()
		}
		if c.peek() != '"' {
			return c.errorf("no member name")
		}
		var m member
		m.srcName.start, m.name.start = c.pos, len(c.out)
		if err := c.string(); err != nil {
			return err
		}
		m.srcName.end, m.name.end = c.pos, len(c.out)
		if len(c.open) > first {
			switch last := c.open[len(c.open)-1]; compareNames(last.name.of(c.out), m.name.of(c.out)) {
			case 0:
				return c.errorf("duplicate member %s", m.name.of(c.out))
			case 1:
				ascending = false
			}
		}
		c.space()
		if c.peek() != ':' {
			return c.errorf("no colon after a member name")
		}
		c.pos++
		c.out = append(c.out, ':')
		c.space()
		m.srcValue.start, m.canonical.start = c.pos, len(c.out)
		if err := c.value(l.child(m.name.of(c.out)), depth-1); err != nil {
			return err
		}
		m.srcValue.end, m.canonical.end = c.pos, len(c.out)
		c.open = append(c.open, m)
	}
	c.pos++
	members := c.open[first:]
	if !ascending {
		if err := c.rearrange(members, outStart+1); err != nil {
			return err
		}
	}
	c.out = append(c.out, '}')
	if l < levelOther {
		c.kept[l] = relative(members, srcStart, outStart)
	}
	c.open = c.open[:first]
	return nil
}

// rearrange sorts the members of an object whose canonical text begins at start and goes to the end of the output.
func (c *canonicalizer) rearrange(members []member, start int) error {
	slices.SortFunc(members, func(a, b member) int { return compareNames(a.name.of(c.out), b.name.of(c.out)) })
	c.spare = c.spare[:0]
	for i := range members {
		m := &members[i]
		if i > 0 {
			if bytes.Equal(m.name.of(c.out), c.spare[members[i-1].name.start-start:members[i-1].name.end-start]) {
				return c.errorf("duplicate member %s", m.name.of(c.out))
			}
			c.spare = append(c.spare, ',')
		}
		shift := start + len(c.spare) - m.name.start
		c.spare = append(c.spare, c.out[m.name.start:m.canonical.end]...)
		m.name = span{m.name.start + shift, m.name.end + shift}
		m.canonical = span{m.canonical.start + shift, m.canonical.end + shift}
	}
	c.out = append(c.out[:start], c.spare...)
	return nil
}

func relative(members []member, src, out int) []member {
	kept := make([]member, len(members))
	for i, m := range members {
		kept[i] = member{
			srcName:   span{m.srcName.start - src, m.srcName.end - src},
			srcValue:  span{m.srcValue.start - src, m.srcValue.end - src},
			name:      span{m.name.start - out, m.name.end - out},
			canonical: span{m.canonical.start - out, m.canonical.end - out},
		}
	}
	return kept
}

// compareNames orders two canonical names by code point. Their escapes would come in the way: a quote sorts before a letter, its
// backslash after a capital one.
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
	c.pos++
	c.out = append(c.out, '[')
	c.space()
	for empty := true; c.peek() != ']'; empty = false {
		if !empty {
			if c.peek() != ',' {
				return c.errorf("no comma or closing bracket after an element")
			}
			c.pos++
			c.out = append(c.out, ',')
			c.space()
		}
		if err := c.value(levelOther, depth-1); err != nil {
			return err
		}
		c.space()
	}
	c.pos++
	c.out = append(c.out, ']')
	return nil
}

func (c *canonicalizer) literal(word string) error {
	if !bytes.HasPrefix(c.src[c.pos:], []byte(word)) {
		return c.errorf("not a JSON value")
	}
	c.pos += len(word)
	c.out = append(c.out, word...)
	return nil
}

func (c *canonicalizer) number() error {
	start := c.pos
	if c.peek() == '-' {
		c.pos++
	}
	digits := c.pos
	for '0' <= c.peek() && c.peek() <= '9' {
		c.pos++
	}
	text := c.src[start:c.pos]
	switch b := c.peek(); {
	case c.pos == digits, c.src[digits] == '0' && c.pos > digits+1:
		return c.errorf("malformed number")
	case b == '.' || b == 'e' || b == 'E':
		return c.errorf("floating point number")
	case string(text) == "-0":
		return c.errorf("negative zero")
	}
	if len(text) > 18 { // shorter ones always fit
		if _, err := strconv.ParseInt(string(text), 10, 64); err != nil {
			return c.errorf("number out of range")
		}
	}
	c.out = append(c.out, text...)
	return nil
}

// plain reports whether a byte stands in a string as itself, in JSON and in canonical JSON alike.
func plain(b byte) bool { return b >= 0x20 && b != '"' && b != '\\' }

func (c *canonicalizer) string() error {
	c.pos++
	c.out = append(c.out, '"')
	for {
		run := c.pos
		for c.pos < len(c.src) && plain(c.src[c.pos]) {
			c.pos++
		}
		c.out = append(c.out, c.src[run:c.pos]...)
		switch c.peek() {
		case '"':
			c.pos++
			c.out = append(c.out, '"')
			return nil
		case '\\':
			if err := c.escape(); err != nil {
				return err
			}
		default:
			if c.pos == len(c.src) {
				return c.errorf("string without an end")
			}
			return c.errorf("control character in a string")
		}
	}
}

func (c *canonicalizer) escape() error {
	if len(c.src)-c.pos < 2 {
		return c.errorf("string without an end")
	}
	b := c.src[c.pos+1]
	switch b {
	case '"', '\\':
		c.out = append(c.out, '\\', b)
	case '/':
		c.out = append(c.out, '/')
	case 'b':
		c.out = append(c.out, '\b')
	case 'f':
		c.out = append(c.out, '\f')
	case 'n':
		c.out = append(c.out, '\n')
	case 'r':
		c.out = append(c.out, '\r')
	case 't':
		c.out = append(c.out, '\t')
	case 'u':
		return c.unicodeEscape()
	default:
		return c.errorf("unknown escape in a string")
	}
	c.pos += 2
	return nil
}

func (c *canonicalizer) unicodeEscape() error {
	r, ok := c.hex4(c.pos)
	if !ok {
		return c.errorf("malformed escape in a string")
	}
	size := 6
	if utf16.IsSurrogate(r) {
		low, ok := c.hex4(c.pos + size)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return c.errorf("lone surrogate in a string")
		}
		size += 6
	}
	if r == '"' || r == '\\' {
		c.out = append(c.out, '\\')
	}
	c.out = utf8.AppendRune(c.out, r)
	c.pos += size
	return nil
}

// hex4 reads an escape of the form \uXXXX at pos.
func (c *canonicalizer) hex4(pos int) (rune, bool) {
	if len(c.src)-pos < 6 || c.src[pos] != '\\' || c.src[pos+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, b := range c.src[pos+2 : pos+6] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b && b <= 'f':
			b -= 'a' - 10
		case 'A' <= b && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(b)
	}
	return r, true
}
