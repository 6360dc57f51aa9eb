package tufmeta

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fuzzFile is a document's content without the types that the code under test has for it.
type fuzzFile struct {
	object map[string]any // the whole text
	signed map[string]any // its member
	meta   map[string]any // that one's member; nil if there is none
}

func readFile(t *testing.T, text []byte) fuzzFile {
	t.Helper()
	object, ok := decode(text).(map[string]any)
	require.True(t, ok)
	signed, ok := object["signed"].(map[string]any)
	require.True(t, ok)
	meta, _ := signed["meta"].(map[string]any)
	return fuzzFile{object, signed, meta}
}

// requireListed requires that an entry lists d, in the form that the entry before it had; before is
// nil for a new one.
func requireListed(t *testing.T, before, after any, d *Document) {
	t.Helper()
	entry, ok := after.(map[string]any)
	require.True(t, ok)
	require.Equal(t, json.Number(fmt.Sprint(d.Version())), entry["version"])
	if length, ok := entry["length"]; ok {
		require.Equal(t, json.Number(fmt.Sprint(len(d.Bytes()))), length)
	}
	hashes, _ := entry["hashes"].(map[string]any)
	known := map[string]crypto.Hash{
		"sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	}
	for algorithm, digest := range hashes {
		hash := known[algorithm].New()
		hash.Write(d.Bytes())
		require.Equal(t, hex.EncodeToString(hash.Sum(nil)), digest)
	}
	if before == nil {
		for name := range entry {
			require.Contains(t, []string{"version", "length", "hashes"}, name)
		}
		return
	}
	was, ok := before.(map[string]any)
	require.True(t, ok)
	earlier, _ := was["hashes"].(map[string]any)
	for algorithm := range earlier {
		_, computed := known[algorithm]
		_, listed := hashes[algorithm]
		require.Equal(t, computed, listed, algorithm)
	}
	require.Equal(t, was["length"] == nil, entry["length"] == nil, "the files here are too small to need one")
	for _, fields := range []map[string]any{was, entry} {
		for _, name := range []string{"version", "length", "hashes"} {
			delete(fields, name)
		}
	}
	require.Equal(t, was, entry, "unknown fields")
}

// A fuzzSigner signs with an Ed25519 key.
type fuzzSigner struct{ private crypto.Signer }

func (s fuzzSigner) Public(context.Context) (crypto.PublicKey, error) { return s.private.Public(), nil }

func (s fuzzSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	return s.private.Sign(rand.Reader, message, crypto.Hash(0))
}

// A successor differs in what was asked for and nothing else, and go-tuf takes it for signed.
func FuzzNext(f *testing.F) {
	keys := newKeyring(f)
	names := keys.names(f)
	rootText := []byte(`{"signatures":[],"signed":` + names.Replace(fuzzRoot([]string{fuzzEd25519}, fuzzRoles("a", 1))) +
		`}`)
	theirRoot, err := readForeign(rootText)
	require.NoError(f, err)
	root, err := Parse(rootText)
	require.NoError(f, err)
	declared, err := parseKeys(root.field("keys"))
	require.NoError(f, err)
	signer := Signer{declared["a"], fuzzSigner{keys[0]}}
	files := map[string]*Document{}
	for name, text := range map[string]string{Snapshot: fuzzSnapshot, Targets: fuzzTargets} {
		files[name], err = Parse([]byte(`{"signatures":[],"signed":` + text + `}`))
		require.NoError(f, err)
	}

	const layout = "{\n \"signed\": %s,\n \"x\" : [ 1 ],\n \"signatures\" : [\n  {\n   \"sig\" : \"00\",\n   \"keyid\" : \"b\"\n  }\n ]\n}\n"
	pretty := func(text string) []byte {
		var b bytes.Buffer
		require.NoError(f, json.Indent(&b, []byte(text), " ", "\t"))
		return fmt.Appendf(nil, layout, b.String())
	}
	for _, name := range []string{"timestamp.json", "159.snapshot.json", "11.targets.json", "5.registry.npmjs.org.json"} {
		data, err := os.ReadFile("testdata/sigstore-root-signing/metadata/" + name)
		require.NoError(f, err)
		f.Add(data, []byte{}, int64(1000), uint32(2_000_000_000), "targets,zebra,a/b")
	}
	for _, text := range []string{
		fuzzTimestamp, fuzzSnapshot, fuzzTargets,
		`{"version":1,"_type":"snapshot","expires":"2030-01-01T00:00:00Z","meta":{"\u0074argets.json":{ "x":{"version":1},"version":1, ` +
			`"hashes":{"sha512":"","sha256":"" }},"a\".json":{"version":1}},"spec_version":"1.0","x-\u00fc":{"signed":{"meta":{}}}}`,
		`{"version":1,"_type":"snapshot","expires":"2030-01-01T00:00:00Z","meta":{"targets.json":{"version":1,"hashes":{"md5":"00"}}},"spec_version":"1"}`,
	} {
		f.Add([]byte(`{"signatures":[],"signed":`+text+`}`), []byte{}, int64(3), uint32(0), "a,targets")
		f.Add(pretty(text), []byte{}, int64(MaxVersion), uint32(4_000_000_000), "targets,\u00fc,b")
	}
	f.Fuzz(func(t *testing.T, file, edits []byte, version int64, seconds uint32, list string) {
		file = mutate(file, edits)
		d, err := readAll(file)
		if err != nil {
			return
		}
		role := parseRole(d.Type(), d.Type(), value(`{"keyids":["a"],"threshold":1}`), declared)
		change := Change{Version: version, Expires: time.Unix(int64(seconds), 0), List: map[string]*Document{}}
		switch d.Type() {
		case Timestamp:
			change.List[Snapshot] = files[Snapshot]
		case Snapshot:
			for _, name := range strings.Split(list, ",")[:min(4, strings.Count(list, ",")+1)] {
				if name == Targets || checkDelegatedName(name) == nil {
					change.List[name] = files[Targets]
				}
			}
		}
		verified := role.verified(d) // by no signatures at all: this is about what comes after
		draft, err := verified.Next(change)
		if version <= d.Version() || version > MaxVersion {
			require.ErrorContains(t, err, "cannot follow")
			return
		}
		require.NoError(t, err)
		next, problems, err := draft.Sign(t.Context(), role, []Signer{signer})
		require.NoError(t, err)
		require.Empty(t, problems)
		require.Equal(t, version, next.Version())
		require.True(t, change.Expires.Equal(next.Expires()))

		before, after := readFile(t, file), readFile(t, next.Bytes())
		require.Equal(t, json.Number(fmt.Sprint(version)), after.signed["version"])
		for name, d := range change.List {
			requireListed(t, before.meta[name+Suffix], after.meta[name+Suffix], d)
			delete(before.meta, name+Suffix)
			delete(after.meta, name+Suffix)
		}
		for _, f := range []fuzzFile{before, after} {
			delete(f.signed, "version")
			delete(f.signed, "expires")
		}
		require.Equal(t, before.signed, after.signed)

		// The one form, by the canonical form of the field's library.
		var parts struct{ Signed json.RawMessage }
		require.NoError(t, json.Unmarshal(next.Bytes(), &parts))
		canonical, err := oracle(string(parts.Signed))
		require.NoError(t, err)
		require.Equal(t, canonical, string(next.canonical))
		sig := hex.EncodeToString(next.sigs["a"])
		require.Equal(t, `{"signatures":[{"keyid":"a","sig":"`+sig+`"}],"signed":`+
			string(escapeControls(nil, next.canonical))+`}`, string(next.Bytes()))
		requireSameDocument(t, next.Document)
		if hasOddCase(next.Bytes()) {
			return
		}
		theirs, err := readForeign(next.Bytes())
		if err != nil {
			require.NotEmpty(t, onlyWeRead(next.Bytes()), "%v", err)
			return
		}
		requireForeignVerifies(t, theirRoot, role, next.Document, theirs)
	})
}

// requireSameDocument requires that a document that was signed is what is read of its bytes.
func requireSameDocument(t *testing.T, d *Document) {
	t.Helper()
	again, err := Parse(d.Bytes())
	require.NoError(t, err)
	require.Equal(t, string(again.signatures), string(d.signatures))
	require.Equal(t, string(again.canonical), string(d.canonical))
	d.misread = again.misread // what is signed holds no such escapes, nor do its names
	again.raw, again.signatures, again.canonical = d.raw, d.signatures, d.canonical
	require.Equal(t, again, d)
}
