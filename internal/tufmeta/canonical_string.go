package tufmeta

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain reports whether a byte stands in a string as itself, in JSON and in canonical JSON alike.
func plain(b byte) bool { return b >= 0x20 && b != '"' && b != '\\' }

func (c *canonicalizer) string() error {
	end := c.pos + 1 // of what is canonical as it stands
	for {
		for end < len(c.src) && plain(c.src[end]) {
			end++
		}
		if end < len(c.src) && c.src[end] == '"' {
			c.take(end + 1 - c.pos)
			return nil
		}
		c.take(end - c.pos)
		switch {
		case end == len(c.src):
			return c.errorf("string without an end")
		case c.src[end] != '\\':
			return c.errorf("control character in a string")
		}
		if err := c.escape(); err != nil {
			return err
		}
		end = c.pos
	}
}

func (c *canonicalizer) escape() error {
	if len(c.src)-c.pos < 2 {
		return c.errorf("string without an end")
	}
	switch b := c.src[c.pos+1]; b {
	case '"', '\\':
		c.take(2)
	case '/':
		c.put(2, '/')
	case 'b':
		c.control('\b')
	case 'f':
		c.control('\f')
	case 'n':
		c.control('\n')
	case 'r':
		c.control('\r')
	case 't':
		c.control('\t')
	case 'u':
		return c.unicodeEscape()
	default:
		return c.errorf("unknown escape in a string")
	}
	return nil
}

// control writes a control character in the place of its escape of two characters.
func (c *canonicalizer) control(b byte) {
	c.controls = true
	c.put(2, b)
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
		c.put(0, '\\')
	}
	c.controls = c.controls || r < 0x20
	c.spelled = c.spelled || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || r == '-' || r == ':'
	c.put(size, utf8.AppendRune(nil, r)...)
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
