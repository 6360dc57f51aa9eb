package tufmeta

import (
	"bytes"
	"encoding/hex"
)

// A layout is how a document writes its signatures: texts around them, and a model of one, which
// has just the two members.
type layout struct {
	before, after []byte // white space before each, and before the closing bracket
	element       []byte
	keyid, sig    span // where the model's values lie
}

// layoutOf returns the layout of an array of signatures, a compact one if it has none.
func layoutOf(signatures []byte) layout {
	plain := layout{element: []byte(`{"keyid":"","sig":""}`), keyid: span{9, 11}, sig: span{18, 20}}
	start := bytes.IndexByte(signatures, '{')
	if start < 0 {
		return plain
	}
	first := signatures[start : start+value(signatures[start:]).length()]
	c, err := canonicalize(first, levelObject)
	if err != nil || len(c.kept[levelObject]) != 2 {
		return plain
	}
	members := c.kept[levelObject] // keyid sorts before sig
	return layout{
		before: leading(signatures, start), after: leading(signatures, len(signatures)-1),
		element: first, keyid: members[0].srcValue, sig: members[1].srcValue,
	}
}

// write writes signatures.
func (l layout) write(keys []*Key, sigs [][]byte) []byte {
	out := []byte{'['}
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, l.before...)
		done := 0
		for _, place := range l.places() {
			out = append(out, l.element[done:place.start]...)
			if place == l.keyid {
				out = append(out, quote(k.ID)...)
			} else {
				out = append(hex.AppendEncode(append(out, '"'), sigs[i]), '"')
			}
			done = place.end
		}
		out = append(out, l.element[done:]...)
	}
	return append(append(out, l.after...), ']')
}

// places returns where the values lie, in order.
func (l layout) places() [2]span {
	if l.sig.start < l.keyid.start {
		return [2]span{l.sig, l.keyid}
	}
	return [2]span{l.keyid, l.sig}
}

// longest returns how long write's result can be.
func (l layout) longest(keys []*Key) int {
	n := 2 + len(l.after)
	for _, k := range keys {
		n += 1 + len(l.before) + len(l.element) + 2 + 2*len(k.ID) + 2 + 2*k.maxSignature()
	}
	return n
}
