// Package content reads the bytes of objects, and names them.
package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
)

// Hash names bytes by their SHA-256.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// HashOf is Hash of all that r has, which is not kept in memory.
func HashOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Read returns all that r has, unless that is more than limit bytes: then fits is false. size is
// what r is said to have, or less than 0 if nothing is known; a size over limit is believed and r
// is not read.
func Read(r io.Reader, size, limit int64) (data []byte, fits bool, err error) {
	if size > limit {
		return nil, false, nil
	}
	var buf bytes.Buffer
	if size > 0 && size < math.MaxInt-bytes.MinRead {
		buf.Grow(int(size) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r, limit)); err != nil {
		return nil, false, err
	}
	if int64(buf.Len()) < limit {
		return buf.Bytes(), true, nil
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); err {
	case io.EOF:
		return buf.Bytes(), true, nil
	case nil:
		return nil, false, nil
	default:
		return nil, false, err
	}
}
