package tufmeta

// A file is the text of a draft that is being signed. The signed object has its place in a buffer
// from the start, since it may be large; what lies around it, the signatures above all, is written
// when these are there.
type file struct {
	base   *Document
	layout layout // of the signatures
	buffer []byte
	signed span // in buffer
}

// file writes a draft's signed object, and leaves room for what is around it with signatures by
// these keys.
func (d *Draft) file(keys []*Key) *file {
	base := d.base.Document
	f := &file{base: base, layout: layoutOf(base.signatures.of(base.raw))}
	around := len(base.raw) - base.signed.length() - base.signatures.length() + f.layout.longest(keys)
	before := base.signed.start
	if base.signatures.start < before { // all the room is before the signed object
		before = around - (len(base.raw) - base.signed.end)
	}
	f.buffer = make([]byte, before, before+base.signed.length()+growth(d.raw)+around-before)
	f.buffer = spliceTo(f.buffer, base.signed.of(base.raw), d.raw)
	f.signed = span{before, len(f.buffer)}
	return f
}

// text is the signed object as the file holds it.
func (f *file) text() []byte { return f.signed.of(f.buffer) }

// finish completes the file with a text of signatures, and puts it into d.
func (f *file) finish(d *Document, signatures []byte) {
	base := f.base
	if base.signatures.start < base.signed.start {
		parts := [][]byte{base.raw[:base.signatures.start], signatures, base.raw[base.signatures.end:base.signed.start]}
		start := f.signed.start - len(parts[0]) - len(parts[1]) - len(parts[2])
		d.raw = append(f.buffer, base.raw[base.signed.end:]...)
		d.raw = d.raw[start:] // none that verifies is longer than maxSignature
		at := 0
		for _, part := range parts {
			at += copy(d.raw[at:], part)
		}
		d.signatures = span{len(parts[0]), len(parts[0]) + len(signatures)}
		d.signed = span{at, at + f.signed.length()}
	} else {
		copy(f.buffer, base.raw[:base.signed.start])
		d.raw = append(f.buffer, base.raw[base.signed.end:base.signatures.start]...)
		d.signatures = span{len(d.raw), len(d.raw) + len(signatures)}
		d.raw = append(append(d.raw, signatures...), base.raw[base.signatures.end:]...)
		d.signed = f.signed
	}
	if d.same {
		d.canonical = d.signed.of(d.raw)
	}
}
