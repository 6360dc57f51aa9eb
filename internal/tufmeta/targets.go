package tufmeta

import (
	"errors"
	"fmt"
)

// checkTargets checks that clients can read the target files of a document (specification 4.5).
// There may be very many, so it goes over them once and allocates nothing.
func checkTargets(targets value) error {
	if len(targets) == 0 {
		return fmt.Errorf(": %w", errMissing)
	}
	if targets[0] != '{' {
		return errors.New(": not an object")
	}
	for pos := 1; targets[pos] != '}'; {
		if targets[pos] == ',' {
			pos++
		}
		path := targets[pos:targets.afterString(pos)]
		end, err := checkTarget(targets, pos+len(path)+1)
		if err != nil {
			return fmt.Errorf("[%s]%w", path, err)
		}
		pos = end
	}
	return nil
}

// checkTarget checks the target file at pos, and returns where it ends.
func checkTarget(v value, pos int) (end int, err error) {
	if v[pos] != '{' {
		return 0, errors.New(": not an object")
	}
	hasLength, hasHashes := false, false
	for pos++; v[pos] != '}'; {
		if v[pos] == ',' {
			pos++
		}
		name := v[pos:v.afterString(pos)]
		pos += len(name) + 1
		switch string(name) {
		case `"length"`:
			text := v[pos : pos+v[pos:].length()]
			if n, err := text.integer(); err != nil {
				return 0, fmt.Errorf(".length: %w", err)
			} else if n < 0 {
				return 0, fmt.Errorf(".length: %d is negative", n)
			}
			hasLength = true
			pos += len(text)
		case `"hashes"`:
			if pos, err = checkHashes(v, pos); err != nil {
				return 0, err
			}
			hasHashes = true
		default:
			pos += v[pos:].length()
		}
	}
	switch {
	case !hasLength:
		return 0, fmt.Errorf(".length: %w", errMissing)
	case !hasHashes:
		return 0, fmt.Errorf(".hashes: %w", errMissing)
	}
	return pos + 1, nil
}

// checkHashes checks the hashes at pos, and returns where they end.
func checkHashes(v value, pos int) (end int, err error) {
	if v[pos] != '{' {
		return 0, errors.New(".hashes: not an object")
	}
	if v[pos+1] == '}' {
		return 0, errors.New(".hashes: empty")
	}
	for pos++; v[pos] != '}'; {
		if v[pos] == ',' {
			pos++
		}
		name := v[pos:v.afterString(pos)]
		pos += len(name) + 1
		if v[pos] != '"' {
			return 0, fmt.Errorf(".hashes.%s: not a string", name)
		}
		digest := v[pos:v.afterString(pos)]
		if !isHex(digest[1 : len(digest)-1]) {
			return 0, fmt.Errorf(".hashes.%s: not hex", name)
		}
		pos += len(digest)
	}
	return pos + 1, nil
}

func isHex(text []byte) bool {
	for _, b := range text {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') && (b < 'A' || b > 'F') {
			return false
		}
	}
	return len(text)%2 == 0
}
