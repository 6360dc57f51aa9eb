package simulation

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"unicode/utf16"
)

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // a Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

func wide(text []byte) []byte {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(string(text))) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}
