package tufmeta

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"
)

// digest computes a hash by the name that it has in TUF (specification 4.4), in lower-case hex. It
// reports whether the algorithm is known. Nearly all clients know just SHA-256 and SHA-512.
func digest(algorithm string, file []byte) (string, bool) {
	var h hash.Hash
	switch algorithm {
	case "sha224":
		h = sha256.New224()
	case "sha256":
		h = sha256.New()
	case "sha384":
		h = sha512.New384()
	case "sha512":
		h = sha512.New()
	default:
		return "", false
	}
	h.Write(file)
	return hex.EncodeToString(h.Sum(nil)), true
}

// Check returns an error unless d is the file that is listed: its version, and its length and
// hashes where those are given. A hash that nobody here can compute does not count, as long as the
// length or another hash is listed.
func (info FileInfo) Check(d *Document) error {
	if d.version != info.Version {
		return fmt.Errorf("has version %d where %d is listed", d.version, info.Version)
	}
	if info.Length != 0 && info.Length != int64(len(d.raw)) {
		return fmt.Errorf("has %d bytes where %d are listed", len(d.raw), info.Length)
	}
	compared, unknown := info.Length != 0, ""
	for _, algorithm := range slices.Sorted(maps.Keys(info.Hashes)) {
		got, ok := digest(algorithm, d.raw)
		if !ok {
			unknown = algorithm
			continue
		}
		if got != info.Hashes[algorithm] {
			return fmt.Errorf("has %s %s where %s is listed", algorithm, got, info.Hashes[algorithm])
		}
		compared = true
	}
	if unknown != "" && !compared {
		return fmt.Errorf("unsupported hash algorithm %q, and neither a length nor another hash is listed", unknown)
	}
	return nil
}

// The sizes in bytes up to which every client fetches a file whose length is not listed.
const (
	maxUnlistedSnapshot = 2_000_000
	maxUnlistedTargets  = 5_000_000
)

// relist returns an entry changed so that it lists d: its version, and the length and those hashes
// that it had before. A hash that nobody here can compute leaves, since clients would reject the
// old one. The length is added if clients would not fetch the file without. With pin both length
// and SHA-256 are added.
func relist(before value, d *Document, pin bool) ([]byte, error) {
	members, err := before.members()
	if err != nil {
		return nil, err
	}
	entry := object(maps.Collect(members))
	hashes := object{}
	if entry["hashes"] != nil {
		listed, err := entry["hashes"].members()
		if err != nil {
			return nil, fmt.Errorf("hashes: %w", err)
		}
		for algorithm := range listed {
			if sum, ok := digest(algorithm, d.raw); ok {
				hashes[algorithm] = quote(sum)
			}
		}
	}
	if pin && hashes["sha256"] == nil {
		sum, _ := digest("sha256", d.raw)
		hashes["sha256"] = quote(sum)
	}
	delete(entry, "hashes") // python-tuf reads no empty ones
	if len(hashes) > 0 {
		entry["hashes"] = hashes.text()
	}
	limit := maxUnlistedTargets
	if d.kind == Snapshot {
		limit = maxUnlistedSnapshot
	}
	if pin || entry["length"] != nil || len(d.raw) > limit {
		entry["length"] = strconv.AppendInt(nil, int64(len(d.raw)), 10)
	}
	entry["version"] = strconv.AppendInt(nil, d.version, 10)
	return entry.text(), nil
}

// An object is a JSON object in the making.
type object map[string]value

// text returns the canonical form.
func (o object) text() []byte {
	out := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(o)) { // the order of UTF-8 is that of code points
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quote(name)...), ':'), o[name]...)
	}
	return append(out, '}')
}
