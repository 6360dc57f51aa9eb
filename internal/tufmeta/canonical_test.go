package tufmeta

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oracle is go-securesystemslib's canonical form, which go-tuf signs.
func oracle(text string) (string, error) {
	canonical, err := cjson.EncodeCanonical(json.RawMessage(text))
	return string(canonical), err
}

// TUF checklist 2.
func TestCanonicalFormIsThatOfTheFieldsLibrary(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":[]}`, `{"a":[ ]}`, `{"b":1,"a":2}`, `{"a":{"z":1,"y":{"x":1,"w":2}},"A":3}`,
		"\t{\r\n\"a\" : [ 1 , -2,\ntrue,false , null ] }\n",
		`{"a":"\"\\\/\b\f\n\r\t\u0041\u00fc\u20ac\ud83d\ude00"}`,
		`{"\"":1,"!":2,"#":3,"\\":4,"]":5,"[":6," ":7,"":8}`,
		`{"ab":1,"a":2,"a b":3,"a\"":4,"a!":5}`,
		`{"ü":1,"z":2,"€":3,"😀":4,"\uffff":5}`,
		`{"n":[0,-1,9223372036854775807,-9223372036854775808,1234567890123456789]}`,
		`{"<>&":"<>&\u2028"}`,
	} {
		want, err := oracle(text)
		require.NoError(t, err, text)
		c, err := canonicalize([]byte(text), levelObject)
		require.NoError(t, err, text)
		assert.Equal(t, want, string(c.out), text)
	}
}

func TestAmbiguousTextHasNoCanonicalForm(t *testing.T) {
	for text, why := range map[string]string{
		``:                                 "not a JSON object",
		`[]`:                               "not a JSON object",
		`null`:                             "not a JSON object",
		`{`:                                "no member name",
		`{"a"}`:                            "no colon",
		`{"a":}`:                           "not a JSON value",
		`{"a":1,}`:                         "no member name",
		`{"a":1 "b":2}`:                    "no comma",
		`{"a":[1,]}`:                       "not a JSON value",
		`{"a":[1 2]}`:                      "no comma",
		`{"a":tru}`:                        "not a JSON value",
		`{"a":01}`:                         "malformed number",
		`{"a":-}`:                          "malformed number",
		`{"a":+1}`:                         "not a JSON value",
		`{"a":"`:                           "string without an end",
		`{"a":"\`:                          "string without an end",
		`{"a":"\x"}`:                       "unknown escape",
		`{"a":"\u12g4"}`:                   "malformed escape",
		"{\"a\":\"\n\"}":                   "control character",
		`{"a":1}x`:                         "data after",
		`{"a":1}{}`:                        "data after",
		"\ufeff{}":                         "not a JSON object",
		strings.Repeat(`{"a":`, 200):       "nested more than",
		`{"a":` + strings.Repeat(`[`, 200): "nested more than",

		// These go-securesystemslib takes, in one reading of several.
		`{"a":1,"a":1}`:        `duplicate member "a"`,
		`{"b":1,"a":1,"b":2}`:  `duplicate member "b"`,
		`{"a":1,"\u0061":2}`:   `duplicate member "a"`,
		`{"a":-0}`:             "negative zero",
		"{\"a\":\"\xff\"}":     "invalid UTF-8",
		`{"a":"\ud800"}`:       "lone surrogate",
		`{"a":"\ud800\u0041"}`: "lone surrogate",
		`{"a":"\udc00"}`:       "lone surrogate",

		// And these it refuses as well.
		`{"a":1.0}`:                 "floating point",
		`{"a":1e3}`:                 "floating point",
		`{"a":9223372036854775808}`: "out of range",
	} {
		_, err := canonicalize([]byte(text), levelObject)
		assert.ErrorContains(t, err, why, text)
	}
}

// tree makes a random value; text writes it with its members shuffled and white space anywhere.
func tree(r *rand.Rand, depth int) any {
	names := []string{"a", "b", "ab", "a b", "a\"", "\\", "ü", "signed", "meta", "version", ""}
	switch n := r.IntN(6); {
	case n < 2 && depth > 0:
		object := map[string]any{}
		for range r.IntN(7) {
			object[names[r.IntN(len(names))]] = tree(r, depth-1)
		}
		return object
	case n == 2 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, tree(r, depth-1))
		}
		return list
	case n == 3:
		return r.Int64() - 1<<62
	case n == 4:
		return []any{nil, true, false}[r.IntN(3)]
	}
	return names[r.IntN(len(names))] + "\n\t/"
}

func text(r *rand.Rand, v any) string {
	space := func() string { return strings.Repeat([]string{" ", "\n", "\t", "\r"}[r.IntN(4)], r.IntN(2)) }
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v { // in Go's random order
			parts = append(parts, space()+text(r, name)+space()+":"+space()+text(r, value)+space())
		}
		return "{" + strings.Join(parts, ",") + space() + "}"
	case []any:
		for _, value := range v {
			parts = append(parts, space()+text(r, value)+space())
		}
		return "[" + strings.Join(parts, ",") + space() + "]"
	}
	data, _ := json.Marshal(v)
	return string(data)
}

func TestLayoutAndOrderDoNotMatter(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		v := map[string]any{"signed": tree(r, 4), "x": tree(r, 3)}
		if object, ok := v["signed"].(map[string]any); ok {
			object["meta"] = tree(r, 2)
		}
		source := " " + text(r, v)
		want, err := oracle(source)
		require.NoError(t, err)
		c, err := canonicalize([]byte(source), levelObject)
		require.NoError(t, err, source)
		require.Equal(t, want, string(c.out), source)
		again, err := canonicalize(escapeControls(nil, c.out), levelObject) // control characters stand as themselves
		require.NoError(t, err)
		require.Equal(t, want, string(again.out))
		checkSpans(t, c, c.kept[levelObject], c.out)
	}
}

// checkSpans requires that kept members are those of the canonical text of an object.
func checkSpans(t *testing.T, c *canonicalizer, members []member, text []byte) {
	t.Helper()
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(escapeControls(nil, text), &all))
	require.Len(t, members, len(all))
	for _, m := range members {
		require.Equal(t, string(all[string(unquote(m.name.of(text)))]), string(escapeControls(nil, m.value.of(text))))
	}
}

func TestMembersOfThePartsThatAreEditedAreKept(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		signed := map[string]any{"meta": map[string]any{"x": tree(r, 2), "a": 1}, "b": tree(r, 2)}
		source := "\n" + text(r, map[string]any{"signed": signed, "x": tree(r, 3)})
		c, err := canonicalize([]byte(source), levelTop)
		require.NoError(t, err, source)
		for _, m := range c.kept[levelTop] {
			if string(m.name.of(c.out)) == `"signed"` {
				part := m.value.of(c.out)
				checkSpans(t, c, c.kept[levelSigned], part)
				checkSpans(t, c, c.kept[levelMeta], c.kept[levelSigned][1].value.of(part))
			}
		}
	}
}

func TestATargetsFileIsReadWithoutAnAllocationForEachTarget(t *testing.T) {
	file := targetsFile(10_000)
	allocations := testing.AllocsPerRun(3, func() {
		_, err := Parse(file)
		require.NoError(t, err)
	})
	assert.Less(t, allocations, 100.0)
}

// targetsFile is an unsigned targets file with n targets.
func targetsFile(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"path/to/target-%08d":{"hashes":{"sha256":"%064x"},"length":%d}`, i, i, i)
	}
	b.WriteString(`},"version":1}}`)
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	file := targetsFile(100_000)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(file); err != nil {
			b.Fatal(err)
		}
	}
}

func fixtures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/sigstore-root-signing/metadata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	files := map[string][]byte{}
	for _, name := range names {
		files[name], err = os.ReadFile(name)
		require.NoError(t, err)
	}
	return files
}

func TestAFileCutOffAnywhereIsRefused(t *testing.T) {
	for name, data := range fixtures(t) {
		if len(data) > 2000 {
			continue // the small ones have all there is to cut
		}
		for end := range len(strings.TrimSpace(string(data))) - 1 {
			_, err := Parse(data[:end])
			require.Error(t, err, "%s cut at %d", name, end)
		}
	}
}
