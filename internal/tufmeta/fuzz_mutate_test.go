package tufmeta

import (
	"encoding/json"
	"maps"
	"slices"
)

// Values that are no good in many places. Mutations put them in the place of what was there.
var oddValues = []string{
	`null`, `true`, `false`, `0`, `1`, `2`, `-1`, `9007199254740991`, `9007199254740992`, `9223372036854775808`, `1.5`,
	`1e400`,
	`""`, `"a"`, `"b"`, `"0"`, `"00"`, `"AB"`, `"a/b"`, `"../a"`, `"root"`, `"timestamp"`, `"snapshot"`, `"targets"`,
	`"1"`, `"1.0.31"`, `"2.0"`,
	`"2030-01-01T00:00:00Z"`, `"2030-01-01T00:00:00.000Z"`, `"2030-01-01T01:00:00+01:00"`, `"2030-01-01T0:00:00Z"`,
	`"2030-01-01T00:00:00,5Z"`,
	`"0000-01-01T00:00:00Z"`, `"ed25519"`, `"ecdsa"`, `"rsa"`, `"ecdsa-sha2-nistp384"`, `"$0"`, `"$0x"`, `"$1x"`, `"$2"`,
	`"$2x"`, `"$3"`, `"$4"`,
	`"$5"`, `"$6"`, `[]`, `[null]`, `[""]`, `["a"]`, `["a","a"]`, `["b","c"]`, `{}`,
}

func oddValue(which byte) any { return decode([]byte(oddValues[int(which)%len(oddValues)])) }

// Names for members that are added.
var oddNames = append([]string{
	"", "a", "x", "Version", "\u017figned", "snapshot.json", "targets.json", "a.json", "sha256", "md5", "mirrors",
}, fieldNames...)

// A place is an element of an array, or a member of an object.
type place struct {
	get    func() any
	set    func(any)
	remove func()
}

// places returns all places in v, in an order that depends on v only.
func places(v any) (all []place) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, place{func() any { return v[name] }, func(value any) { v[name] = value },
				func() { delete(v, name) }})
			all = append(all, places(v[name])...)
		}
	case []any:
		for i := range v {
			all = append(all, place{func() any { return v[i] }, func(value any) { v[i] = value }, func() { v[i] = nil }})
			all = append(all, places(v[i])...)
		}
	}
	return all
}

// mutate changes the values of a JSON text as edits say, three bytes to each, since the bytes that
// a fuzzer changes in a text seldom make another text that is valid. Without edits the text stays
// as it is.
func mutate(text, edits []byte) []byte {
	v := decode(text)
	for ; len(edits) >= 3; edits = edits[3:] {
		all := places(v)
		if len(all) == 0 {
			return text
		}
		p, what := all[(int(edits[0])<<2|int(edits[1])>>6)%len(all)], int(edits[2])
		switch edits[1] % 4 {
		case 0:
			p.set(oddValue(edits[2]))
		case 1:
			p.remove()
		case 2:
			p.set(decode(must(json.Marshal(all[what%len(all)].get())))) // a copy of another one
		case 3:
			if object, ok := p.get().(map[string]any); ok {
				object[oddNames[what%len(oddNames)]] = oddValue(edits[1] >> 2)
			}
		}
		text = must(json.Marshal(v))
	}
	return text
}

// must is for what json.Marshal cannot refuse.
func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}
