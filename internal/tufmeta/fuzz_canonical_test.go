package tufmeta

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// A reading is what the canonical form of a text depends on and encoding/json, which the field's
// library uses, does not tell.
type reading struct {
	object       bool // the text is an object
	duplicate    bool // some object has a name twice
	negativeZero bool
	depth        int
}

// read goes through a valid JSON text, token by token.
func read(t testing.TB, text []byte) (r reading) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value func(depth int)
	value = func(depth int) {
		token, err := d.Token()
		require.NoError(t, err)
		if token == json.Number("-0") {
			r.negativeZero = true
		}
		open, nested := token.(json.Delim)
		if !nested {
			return
		}
		r.depth = max(r.depth, depth)
		names := map[json.Token]bool{}
		for d.More() {
			if open == '{' {
				name, err := d.Token()
				require.NoError(t, err)
				r.duplicate = r.duplicate || names[name]
				names[name] = true
			}
			value(depth + 1)
		}
		_, err = d.Token()
		require.NoError(t, err)
	}
	value(1)
	r.object = bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	return r
}

var (
	escapedBackslash = regexp.MustCompile(`\\\\`)
	surrogatePair    = regexp.MustCompile(`(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}`)
	surrogate        = regexp.MustCompile(`(?i)\\ud[89a-f][0-9a-f]{2}`)
)

func hasLoneSurrogate(text []byte) bool {
	text = escapedBackslash.ReplaceAll(text, []byte("-"))
	return surrogate.Match(surrogatePair.ReplaceAll(text, []byte("-")))
}

// ambiguity says why a text that the field's library has a canonical form for has none here; "" if
// it has to have the same one.
func ambiguity(t testing.TB, text []byte) string {
	t.Helper()
	switch r := read(t, text); {
	case !r.object:
		return "it is no object: documents are objects"
	case r.duplicate:
		return "a name is there twice: clients differ in which of the values they take"
	case r.negativeZero:
		return "it has a negative zero: the library leaves it, others write 0"
	case r.depth > maxDepth:
		return "it is nested too deep: other readers have limits, too, and this one must not run out of stack"
	case !utf8.Valid(text):
		return "it is not UTF-8: the library puts U+FFFD in the place of what is not, so that different texts have the same form"
	case hasLoneSurrogate(text):
		return "it has a lone surrogate: the library puts U+FFFD in its place"
	}
	return ""
}

// Either both refuse a text, or both give the same bytes, but for the ambiguities, which only we
// refuse, and always.
func FuzzCanonical(f *testing.F) {
	for _, data := range fixtures(f) {
		f.Add(data)
	}
	for _, seed := range []string{
		`{"b":"\u00fc\ud83d\ude00","a":[1,{"z":null,"y":-1}]}`,
		` { "\"" : "\\\/\b\f\n\r\t" , "!" : [ true , false , { } , [ ] ] } `,
		`{"n":[0,9223372036854775807,-9223372036854775808,9007199254740993]}`, `{"n":9223372036854775808}`, `{"n":1.0}`,
		`{"n":1e3}`, `{"n":-0}`,
		`{"a":1,"\u0061":2}`, `{"b":1,"a":1,"b":2}`,
		`{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`, `{"a":"\\ud800"}`,
		`{"a\"":1,"ab":2,"a b":3,"a!":4,"a":5,"\\":6,"]":7}`, "{\"a\":\"\xff\"}", `{"a":1}{}`, `[1]`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := canonicalize(data, levelObject)
		want, oracleErr := oracle(string(data))
		if oracleErr != nil {
			require.Error(t, err, "the field's library refuses with %v", oracleErr)
			return
		}
		if why := ambiguity(t, data); why != "" {
			require.Error(t, err, why)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, string(c.out))
	})
}
