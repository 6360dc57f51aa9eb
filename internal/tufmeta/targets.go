package tufmeta

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// checkTargets checks that clients can read the target files of a document (specification 4.5). There may be very many, so it allocates
// nothing.
func checkTargets(targets value) error {
	members, err := targets.quotedMembers()
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	for path, file := range members {
		if err := checkTarget(file); err != nil {
			return fmt.Errorf("[%s]%w", path, err)
		}
	}
	return nil
}

func checkTarget(file value) error {
	fields, err := file.quotedMembers()
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	var length, hashes value
	for name, field := range fields {
		switch string(name) {
		case `"length"`:
			length = field
		case `"hashes"`:
			hashes = field
		}
	}
	if n, err := length.integer(); err != nil {
		return fmt.Errorf(".length: %w", err)
	} else if n < 0 {
		return fmt.Errorf(".length: %d is negative", n)
	}
	return checkHashes(hashes)
}

func checkHashes(hashes value) error {
	digests, err := hashes.quotedMembers()
	if err != nil {
		return fmt.Errorf(".hashes: %w", err)
	}
	empty := true
	for algorithm, digest := range digests {
		empty = false
		if digest[0] != '"' {
			return fmt.Errorf(".hashes.%s: not a string", algorithm)
		}
		if !isHex(digest[1 : len(digest)-1]) {
			return fmt.Errorf(".hashes.%s: not hex", algorithm)
		}
	}
	if empty {
		return errors.New(".hashes: empty")
	}
	return nil
}

func isHex(text []byte) bool {
	var digest [128]byte
	if len(text) > 2*len(digest) {
		return false
	}
	_, err := hex.Decode(digest[:], text)
	return err == nil
}
