package tufmeta

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// Holds returns an error unless all target files of d fall into a bin: the SHA-256 of each path has
// one of the bin's hash prefixes, or begins with the bits of its number (TAP 15). The error names
// the first path that does not. It is nil if the delegated role of that name is not a bin.
func (ds *Delegations) Holds(bin string, d *Document) error {
	if !ds.IsBin(bin) {
		return nil
	}
	falls := ds.prefixed(bin)
	if ds.succinct != nil {
		falls = ds.succinct.numbered(bin)
	}
	targets, err := d.field("targets").open()
	if err != nil {
		return fmt.Errorf("signed.targets: %w", err)
	}
	for targets.next() {
		if !falls(sha256.Sum256(unquote(targets.name))) {
			return fmt.Errorf("signed.targets[%s]: does not fall into bin %s", targets.name, bin)
		}
	}
	return nil
}

// prefixed returns what reports whether a hash has one of the prefixes of a bin, of which there may
// be very many.
func (ds *Delegations) prefixed(bin string) func(sum [sha256.Size]byte) bool {
	prefixes := map[string]bool{}
	var lengths []int
	for _, prefix := range ds.prefixes[bin] {
		if len(prefix) <= hex.EncodedLen(sha256.Size) {
			prefixes[prefix] = true
			lengths = append(lengths, len(prefix))
		}
	}
	slices.Sort(lengths)
	lengths = slices.Compact(lengths)
	return func(sum [sha256.Size]byte) bool {
		var digits [2 * sha256.Size]byte
		hex.Encode(digits[:], sum[:])
		return slices.ContainsFunc(lengths, func(n int) bool { return prefixes[string(digits[:n])] })
	}
}

// numbered returns what reports whether a hash begins with the bits of a bin's number.
func (s *succinct) numbered(bin string) func(sum [sha256.Size]byte) bool {
	number, _ := strconv.ParseUint(bin[len(s.role.Name)+1:], 16, 64) // it is a bin
	return func(sum [sha256.Size]byte) bool {
		return uint64(binary.BigEndian.Uint32(sum[:])>>(32-s.bitLength)) == number
	}
}
