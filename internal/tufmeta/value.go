package tufmeta

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
)

// A value is one JSON value in canonical form. Its methods rely on that: they split, and never need
// to check.
type value []byte

// quote gives the canonical form of a string.
func quote(s string) []byte {
	out := append(make([]byte, 0, len(s)+2), '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return append(out, '"')
}

// unquote is the reverse of quote.
func unquote(quoted []byte) []byte {
	body := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return body
	}
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		if body[i] == '\\' {
			i++
		}
		out = append(out, body[i])
	}
	return out
}

// afterString returns where the string that begins at i ends.
func (v value) afterString(i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(v[i:], '"')
		backslashes := 0
		for v[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}

// length returns the size of the value that v begins with.
func (v value) length() int {
	depth := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			i = v.afterString(i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		}
		if depth > 0 {
			continue
		}
		switch v[i] {
		case '"', '}', ']':
			return i + 1
		}
		// A number or a literal at the top goes on to the next separator.
		if i+1 == len(v) || bytes.IndexByte([]byte(",:}]"), v[i+1]) >= 0 {
			return i + 1
		}
	}
	return len(v)
}

// members returns the names, unquoted, and values of an object, in canonical order.
func (v value) members() (iter.Seq2[string, value], error) {
	all, err := v.open()
	if err != nil {
		return nil, err
	}
	return func(yield func(string, value) bool) {
		for c := all; c.next(); {
			if !yield(string(unquote(c.name)), c.value) {
				return
			}
		}
	}, nil
}

// A cursor goes through the members of an object, without an allocation.
type cursor struct {
	name  value // quoted
	value value
	rest  value
}

// open returns a cursor before the first member of an object.
func (v value) open() (cursor, error) {
	if len(v) == 0 {
		return cursor{}, errMissing
	}
	if v[0] != '{' {
		return cursor{}, errors.New("not an object")
	}
	return cursor{rest: v[1:]}, nil
}

// next goes on to the next member, and reports whether there is one.
func (c *cursor) next() bool {
	if c.rest[0] == '}' {
		return false
	}
	if c.rest[0] == ',' {
		c.rest = c.rest[1:]
	}
	n := c.rest.length()
	c.name, c.rest = c.rest[:n], c.rest[n+1:]
	n = c.rest.length()
	c.value, c.rest = c.rest[:n], c.rest[n:]
	return true
}

// elements returns the elements of an array.
func (v value) elements() (iter.Seq[value], error) {
	if len(v) == 0 {
		return nil, errMissing
	}
	if v[0] != '[' {
		return nil, errors.New("not an array")
	}
	return func(yield func(value) bool) {
		for rest := v[1:]; rest[0] != ']'; {
			if rest[0] == ',' {
				rest = rest[1:]
			}
			n := rest.length()
			if !yield(rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}, nil
}

// fields returns those members of an object that are named, in that order; nil for one that is
// missing.
func (v value) fields(names ...string) ([]value, error) {
	members, err := v.members()
	if err != nil {
		return nil, err
	}
	found := make([]value, len(names))
	for name, val := range members {
		for i := range names {
			if names[i] == name {
				found[i] = val
			}
		}
	}
	return found, nil
}

func (v value) text() (string, error) {
	if len(v) == 0 {
		return "", errMissing
	}
	if v[0] != '"' {
		return "", errors.New("not a string")
	}
	return string(unquote(v)), nil
}

func (v value) integer() (int64, error) {
	if len(v) == 0 {
		return 0, errMissing
	}
	if v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, errors.New("not an integer")
	}
	return strconv.ParseInt(string(v), 10, 64)
}

// version is an integer from 1 to MaxVersion.
func (v value) version() (int64, error) {
	n, err := v.integer()
	if err == nil && (n < 1 || n > MaxVersion) {
		err = fmt.Errorf("%d is not between 1 and %d", n, int64(MaxVersion))
	}
	return n, err
}

func (v value) boolean() (bool, error) {
	switch string(v) {
	case "":
		return false, errMissing
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("not true or false")
}

func (v value) texts() ([]string, error) {
	elements, err := v.elements()
	if err != nil {
		return nil, err
	}
	var out []string
	for e := range elements {
		s, err := e.text()
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(out), err)
		}
		out = append(out, s)
	}
	return out, nil
}

var errMissing = errors.New("missing")
