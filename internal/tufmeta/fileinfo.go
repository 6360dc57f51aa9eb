package tufmeta

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// digest computes a hash by the name it has in TUF (specification 4.4), in lower-case hex. These
// two are what clients know.
func digest(algorithm string, file []byte) (string, error) {
	switch algorithm {
	case "sha256":
		sum := sha256.Sum256(file)
		return hex.EncodeToString(sum[:]), nil
	case "sha512":
		sum := sha512.Sum512(file)
		return hex.EncodeToString(sum[:]), nil
	}
	return "", fmt.Errorf("unsupported hash algorithm %q", algorithm)
}

// Check returns an error unless d is the file that is listed: its version, and its length and
// hashes where those are given.
func (info FileInfo) Check(d *Document) error {
	if d.version != info.Version {
		return fmt.Errorf("has version %d where %d is listed", d.version, info.Version)
	}
	if info.Length != 0 && info.Length != int64(len(d.raw)) {
		return fmt.Errorf("has %d bytes where %d are listed", len(d.raw), info.Length)
	}
	for _, algorithm := range slices.Sorted(maps.Keys(info.Hashes)) {
		got, err := digest(algorithm, d.raw)
		if err != nil {
			return err
		}
		if got != info.Hashes[algorithm] {
			return fmt.Errorf("has %s %s where %s is listed", algorithm, got, info.Hashes[algorithm])
		}
	}
	return nil
}

// The sizes in bytes up to which every client fetches a file whose length is not listed.
const (
	maxUnlistedSnapshot = 2_000_000
	maxUnlistedTargets  = 5_000_000
)

// relist returns the entry (in any layout) changed so that it lists d: its version, and the length
// and those hashes that it had before. The length is added if clients would not fetch the file
// without, and with pin both length and a SHA-256 are. The second result is the new entry's
// canonical form.
func relist(entry []byte, d *Document, pin bool) (text, canonical []byte, err error) {
	c, err := canonicalize(entry, levelObject)
	if err != nil {
		return nil, nil, err
	}
	limit := maxUnlistedTargets
	if d.kind == Snapshot {
		limit = maxUnlistedSnapshot
	}
	var edits []edit
	hasLength, hasHashes, first := false, false, len(entry)
	for _, m := range c.kept[levelObject] {
		place := span{c.top + m.srcValue.start, c.top + m.srcValue.end}
		first = min(first, c.top+m.srcName.start)
		switch string(m.name.of(c.out)) {
		case `"length"`:
			hasLength = true
			edits = append(edits, edit{place, strconv.AppendInt(nil, int64(len(d.raw)), 10)})
		case `"version"`:
			edits = append(edits, edit{place, strconv.AppendInt(nil, d.version, 10)})
		case `"hashes"`:
			hasHashes = true
			hashes, err := rehash(place.of(entry), d.raw)
			if err != nil {
				return nil, nil, err
			}
			edits = append(edits, edit{place, hashes})
		}
	}
	add := func(member string) {
		edits = append(edits, edit{span{first, first}, append([]byte(member+","), entry[c.top+1:first]...)})
	}
	if pin && !hasHashes {
		sum, err := digest("sha256", d.raw)
		if err != nil {
			return nil, nil, err
		}
		add(`"hashes": {"sha256": "` + sum + `"}`)
	}
	if !hasLength && (pin || len(d.raw) > limit) {
		add(fmt.Sprintf(`"length": %d`, len(d.raw)))
	}
	text = splice(entry, edits)
	if c, err = canonicalize(text, levelObject); err != nil {
		return nil, nil, err
	}
	return text, c.out, nil
}

// rehash returns a hashes object (in any layout) with the hashes of file in it.
func rehash(hashes, file []byte) ([]byte, error) {
	c, err := canonicalize(hashes, levelObject)
	if err != nil {
		return nil, err
	}
	var edits []edit
	for _, m := range c.kept[levelObject] {
		sum, err := digest(string(unquote(m.name.of(c.out))), file)
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit{span{c.top + m.srcValue.start, c.top + m.srcValue.end}, quote(sum)})
	}
	return splice(hashes, edits), nil
}

// An edit puts text in the place of what lies at span.
type edit struct {
	span
	text []byte
}

// splice carries out edits that do not overlap; those of one place come in the order given.
func splice(text []byte, edits []edit) []byte {
	return spliceTo(make([]byte, 0, len(text)+growth(edits)), text, edits)
}

// spliceTo is splice, with the result appended to out.
func spliceTo(out, text []byte, edits []edit) []byte {
	edits = slices.SortedStableFunc(slices.Values(edits), func(a, b edit) int { return a.start - b.start })
	done := 0
	for _, e := range edits {
		out = append(append(out, text[done:e.start]...), e.text...)
		done = e.end
	}
	return append(out, text[done:]...)
}

// growth is by how much edits make a text longer.
func growth(edits []edit) (n int) {
	for _, e := range edits {
		n += len(e.text) - e.length()
	}
	return n
}
