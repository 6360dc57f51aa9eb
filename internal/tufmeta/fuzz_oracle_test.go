package tufmeta

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A foreign document is one as go-tuf reads it.
type foreign struct {
	version     int64
	expires     time.Time
	meta        map[string]*metadata.MetaFiles
	delegations *metadata.Delegations
	root        *metadata.Metadata[metadata.RootType] // nil if it is none
	document    any                                   // the *metadata.Metadata
	signed      any                                   // its member Signed
}

// readForeign reads a document as go-tuf does, as one of the type that it says it is of.
func readForeign(data []byte) (f foreign, err error) {
	var file struct{ Signed map[string]json.RawMessage }
	var kind string
	if err := json.Unmarshal(data, &file); err != nil {
		return f, err
	}
	if err := json.Unmarshal(file.Signed["_type"], &kind); err != nil {
		return f, err
	}
	err = guard(func() error {
		switch kind {
		case Root:
			m, err := new(metadata.Metadata[metadata.RootType]).FromBytes(data)
			if err == nil {
				f = foreign{version: m.Signed.Version, expires: m.Signed.Expires, root: m, document: m, signed: m.Signed}
			}
			return err
		case Timestamp:
			m, err := new(metadata.Metadata[metadata.TimestampType]).FromBytes(data)
			if err == nil {
				f = foreign{version: m.Signed.Version, expires: m.Signed.Expires, meta: m.Signed.Meta, document: m,
					signed: m.Signed}
			}
			return err
		case Snapshot:
			m, err := new(metadata.Metadata[metadata.SnapshotType]).FromBytes(data)
			if err == nil {
				f = foreign{version: m.Signed.Version, expires: m.Signed.Expires, meta: m.Signed.Meta, document: m,
					signed: m.Signed}
			}
			return err
		case Targets:
			m, err := new(metadata.Metadata[metadata.TargetsType]).FromBytes(data)
			if err == nil {
				f = foreign{version: m.Signed.Version, expires: m.Signed.Expires, delegations: m.Signed.Delegations, document: m,
					signed: m.Signed}
			}
			return err
		}
		return fmt.Errorf("unknown type %q", kind)
	})
	return f, err
}

// verifies asks go-tuf whether root's role signed a document.
func (f foreign) verifies(role string, d foreign) error {
	return guard(func() error { return f.root.VerifyDelegate(role, d.document) })
}

// fieldNames are the names that go-tuf looks for.
var fieldNames = []string{
	"signatures", "keyid", "sig", "signed", "_type", "spec_version", "version", "expires", "consistent_snapshot", "keys",
	"roles", "meta",
	"targets", "delegations", "succinct_roles", "keytype", "scheme", "keyval", "public", "keyids", "threshold", "length",
	"hashes", "custom",
	"name", "terminating", "paths", "path_hash_prefixes", "bit_length", "name_prefix",
}

// hasOddCase reports whether a member's name is one of fieldNames but for its case. go-tuf takes
// such a member for the real one, and the later one of two; no other client does, nor do we.
func hasOddCase(text []byte) bool {
	var look func(v any) bool
	look = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				odd := slices.ContainsFunc(fieldNames, func(known string) bool {
					return name != known &&
						strings.EqualFold(name, known)
				})
				if odd || look(value) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, look)
		}
		return false
	}
	return look(decode(text))
}

// decode returns a JSON text as encoding/json has it, with numbers as they are written; nil if it
// is none.
func decode(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// onlyWeRead says why go-tuf refuses a document that we read; "" if it has no reason to.
func onlyWeRead(data []byte) string {
	var file struct {
		Signatures []struct{ Sig json.RawMessage }
		Signed     struct {
			Expires     json.RawMessage
			Meta        map[string]struct{ Hashes map[string]json.RawMessage }
			Targets     map[string]json.RawMessage
			Keys        map[string]json.RawMessage
			Roles       map[string]json.RawMessage
			Delegations struct {
				Keys     map[string]json.RawMessage
				Roles    []json.RawMessage
				Succinct json.RawMessage `json:"succinct_roles"`
			}
		}
	}
	_ = json.Unmarshal(data, &file) // what is of another type is of no interest here, and left out
	for _, s := range file.Signatures {
		if bytes.IndexByte(s.Sig, '\\') >= 0 {
			return "a signature is written with escapes, which go-tuf does not resolve"
		}
	}
	if bytes.IndexByte(file.Signed.Expires, '\\') >= 0 {
		return "expires is written with escapes, which go-tuf does not resolve"
	}
	for _, entry := range file.Signed.Meta {
		for _, digest := range entry.Hashes {
			if json.Unmarshal(digest, new(metadata.HexBytes)) != nil {
				return "a listed hash is no hex: no file has it, so the roll that looks at the file fails"
			}
		}
	}
	for _, entry := range file.Signed.Targets {
		if string(entry) == "null" || json.Unmarshal(entry, new(metadata.TargetFiles)) != nil {
			return "an entry of targets is malformed: they are not read, they belong to those who sign for them"
		}
	}
	for name, role := range file.Signed.Roles {
		if name != Root && json.Unmarshal(role, new(metadata.Role)) != nil {
			return "root has another role that makes no sense, and so verifies nothing"
		}
	}
	for _, keys := range []map[string]json.RawMessage{file.Signed.Keys, file.Signed.Delegations.Keys} {
		for _, key := range keys {
			if json.Unmarshal(key, new(metadata.Key)) != nil {
				return "a key is malformed, and so verifies nothing"
			}
		}
	}
	if s := file.Signed.Delegations.Succinct; s != nil && json.Unmarshal(s, new(metadata.SuccinctRoles)) != nil {
		return "the keys or the threshold of succinct roles make no sense, so they verify nothing"
	}
	for _, role := range file.Signed.Delegations.Roles {
		if json.Unmarshal(role, new(metadata.DelegatedRole)) != nil {
			return "a delegated role makes no sense, and so verifies nothing"
		}
	}
	return ""
}

// rewrites reports whether go-tuf's clients verify something else than the text that was signed,
// since they write down what they understood of it, in one of the ways that are known. If that
// differs in any other way, the error says where.
func rewrites(d *Document, f foreign) (bool, error) {
	text, err := json.Marshal(f.signed)
	if err != nil {
		return true, nil //nolint:nilerr // go-tuf cannot write it: a delegated role has both paths and path_hash_prefixes
	}
	changed := false
	err = compareTrees("signed", decode(escapeControls(nil, d.canonical)), decode(text), &changed)
	return changed, err
}

func compareTrees(path string, signed, written any, changed *bool) error {
	switch signed := signed.(type) {
	case map[string]any:
		written, ok := written.(map[string]any)
		if !ok {
			break
		}
		names := maps.Clone(written)
		maps.Copy(names, signed)
		for name := range names {
			if err := compareTrees(path+"."+name, signed[name], written[name], changed); err != nil {
				return err
			}
			_, was := signed[name]
			if _, is := written[name]; was != is {
				*changed = true
			}
		}
		return nil
	case []any:
		written, ok := written.([]any)
		if !ok || len(written) != len(signed) {
			break
		}
		for i := range signed {
			if err := compareTrees(fmt.Sprintf("%s[%d]", path, i), signed[i], written[i], changed); err != nil {
				return err
			}
		}
		return nil
	default:
		if signed == written {
			return nil
		}
	}
	*changed = true
	switch {
	case isEmpty(signed) && isEmpty(written): // go-tuf adds what is optional, and leaves out what is empty
		return nil
	case isLarge(signed): // go-tuf holds fields that it does not know as float64
		return nil
	case sameTime(signed, written): // go-tuf writes time in Go's way
		return nil
	case sameHex(signed, written): // go-tuf writes hex in lower case
		return nil
	}
	return fmt.Errorf("%s: %v was signed, go-tuf has %v", path, signed, written)
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		return v == "0"
	case map[string]any:
		for _, value := range v {
			if !isEmpty(value) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

func isLarge(v any) bool {
	number, ok := v.(json.Number)
	n, err := number.Int64()
	return ok && err == nil && (n > 1<<53 || n < -1<<53)
}

func sameTime(a, b any) bool {
	first, ok := a.(string)
	second, ok2 := b.(string)
	x, err := time.Parse(time.RFC3339, first)
	y, err2 := time.Parse(time.RFC3339, second)
	return ok && ok2 && err == nil && err2 == nil && x.Equal(y)
}

func sameHex(a, b any) bool {
	first, ok := a.(string)
	second, ok2 := b.(string)
	_, err := hex.DecodeString(first)
	return ok && ok2 && err == nil && strings.ToLower(first) == second
}
