package tufmeta_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A delegator is a targets document with delegations by one key, "a".
type delegator struct{ key testKey }

func (d delegator) document(t testing.TB, delegations object) *tufmeta.Document {
	t.Helper()
	delegations["keys"] = object{"a": d.key.declare}
	return parse(t, signed(t, object{
		"_type": "targets", "spec_version": "1.0", "version": 1, "expires": "2040-01-01T00:00:00Z", "targets": object{},
		"delegations": delegations,
	}, d.key))
}

func (d delegator) parse(t testing.TB, roles ...object) *tufmeta.Delegations {
	t.Helper()
	ds, err := tufmeta.ParseDelegations(d.document(t, object{"roles": roles}))
	require.NoError(t, err)
	return ds
}

// delegated is a role that makes sense but for changes: pairs of names and values, nil for none.
func delegated(name any, changes ...any) object {
	role := object{"name": name, "keyids": []string{"a"}, "threshold": 1, "paths": []string{"*"}, "terminating": false}
	for pair := range slices.Chunk(changes, 2) {
		role[pair[0].(string)] = pair[1]
		if pair[1] == nil {
			delete(role, pair[0].(string))
		}
	}
	return role
}

func names(ds *tufmeta.Delegations) (names []string) {
	for r := range ds.All() {
		names = append(names, r.Name)
	}
	return names
}

// TUF checklist 9 and 18.
func TestDelegationsAreInTheOrderOfPriority(t *testing.T) {
	ds := delegator{edKey(t, "a")}.parse(t, delegated("b"), delegated("a/c"), delegated("a b"))
	assert.Equal(t, []string{"b", "a/c", "a b"}, names(ds))
	assert.Empty(t, ds.Problems())
	assert.EqualValues(t, 3, ds.Len())
}

// Each makes the one role verify nothing, and leaves the other alone.
func TestADelegationThatMakesNoSenseDisablesNoOther(t *testing.T) {
	d := delegator{edKey(t, "a")}
	for want, role := range map[string]object{
		"keyids: missing":                  delegated("odd", "keyids", nil),
		"keyids: not an array":             delegated("odd", "keyids", "a"),
		"threshold: 2, of 1 keys":          delegated("odd", "threshold", 2),
		"threshold: 0 is less than 1":      delegated("odd", "threshold", 0),
		`"a" is there twice`:               delegated("odd", "keyids", []string{"a", "a"}),
		"paths: not an array":              delegated("odd", "paths", 7),
		"path_hash_prefixes: element 0":    delegated("odd", "path_hash_prefixes", []int{7}, "paths", nil),
		"paths: beside path_hash_prefixes": delegated("odd", "path_hash_prefixes", []string{"0"}),
		"terminating: missing":             delegated("odd", "terminating", nil),
		"terminating: not true or false":   delegated("odd", "terminating", "no"),
	} {
		ds := d.parse(t, role, delegated("good"))
		require.ErrorContains(t, ds.Role("odd").Problem(), want)
		require.NoError(t, ds.Role("good").Problem())
		require.Len(t, ds.Problems(), 1)
		require.ErrorContains(t, ds.Problems()[0], `roles[0]: "odd": `)
	}
	neither := d.parse(t, delegated("odd", "paths", nil))
	require.NoError(t, neither.Role("odd").Problem(), "nothing is delegated to it, which all but python-tuf read")
}

func TestADelegationWithoutANameOfItsOwnIsLeftOut(t *testing.T) {
	d := delegator{edKey(t, "a")}
	for want, role := range map[string]object{
		"roles[1]: name: missing":               delegated(nil, "name", nil),
		"roles[1]: name: not a string":          delegated(7),
		`roles[1]: name: "good" is there twice`: delegated("good", "threshold", 2),
	} {
		ds := d.parse(t, delegated("good"), role, delegated("better"))
		assert.Equal(t, []string{"good", "better"}, names(ds))
		require.NoError(t, ds.Role("good").Problem())
		require.Len(t, ds.Problems(), 1)
		require.EqualError(t, ds.Problems()[0], want)
	}
}

func TestNamesThatAreNoFileNamesOfTheirOwnAreRefused(t *testing.T) {
	d := delegator{edKey(t, "a")}
	for _, name := range []string{
		"", ".", "..", "../x", "a/../b", "a//b", "/a", "a/", "a\\b", "a\nb", "root", "targets", "snapshot", "timestamp",
		"2.root", "3.targets", "7.snapshot", "1.timestamp", "0.root", "snapshot.json/x", "3.snapshot.json/x", "root.json/y",
		"timestamp.json/a/b", "root.json/x.json/y",
	} {
		ds := d.parse(t, delegated(name), delegated("good"))
		require.Error(t, ds.Role(name).Problem(), "%q", name)
		require.NoError(t, ds.Role("good").Problem())
	}
	for _, name := range []string{"2root", "root.2", "a/root", "a/2.root", "x.2.root", "roots", "snapshot.json", "ü"} {
		require.NoError(t, d.parse(t, delegated(name)).Role(name).Problem(), name)
	}
}

func TestNamesThatCollide(t *testing.T) {
	for name, want := range map[string][]string{
		"team":            nil,
		"team.json":       nil,
		"x7.team":         nil,
		"a/7.team":        nil,
		"7.team":          {"team"},
		"7.8.team":        {"8.team"},
		"1.a/b":           {"a/b"},
		"team.json/x":     {"team"},
		"7.team.json/x":   {"team", "7.team", "team.json/x"},
		"a/b.json/c":      {"a/b"},
		"a.json/b.json/c": {"a", "a.json/b"},
		".json/x":         {""},
		"7.":              nil,
	} {
		assert.Equal(t, want, tufmeta.Collisions(name), name)
	}
}

func TestDelegationsThatMakeNoSenseAsAWholeAreRefused(t *testing.T) {
	d := delegator{edKey(t, "a")}
	bins := object{"keyids": []string{"a"}, "threshold": 1, "bit_length": 4, "name_prefix": "bin"}
	for want, delegations := range map[string]object{
		"roles: missing":                {},
		"roles: not an array":           {"roles": object{}},
		"both roles and succinct_roles": {"roles": []object{delegated("a")}, "succinct_roles": bins},
		"bit_length: 0 is not":          {"succinct_roles": object{"name_prefix": "bin", "bit_length": 0}},
		"bit_length: -1 is not":         {"succinct_roles": object{"name_prefix": "bin", "bit_length": -1}},
		"bit_length: 33 is not":         {"succinct_roles": object{"name_prefix": "bin", "bit_length": 33}},
		"name_prefix: missing":          {"succinct_roles": object{"bit_length": 4}},
	} {
		_, err := tufmeta.ParseDelegations(d.document(t, delegations))
		require.ErrorContains(t, err, want)
	}
}

func succinct(bits int, prefix string) object {
	return object{"succinct_roles": object{
		"keyids": []string{"a"}, "threshold": 1, "bit_length": bits, "name_prefix": prefix,
	}}
}

func TestSuccinctBins(t *testing.T) {
	d := delegator{edKey(t, "a")}
	for _, bits := range []int{1, 4, 5, 8, 9, 32} {
		ds, err := tufmeta.ParseDelegations(d.document(t, succinct(bits, "bin")))
		require.NoError(t, err)
		last := fmt.Sprintf("bin-%x", uint64(1)<<bits-1)
		require.NotNil(t, ds.Role(last), last)
		assert.True(t, ds.IsBin(last))
		assert.Nil(t, ds.Role(fmt.Sprintf("bin-%x", uint64(1)<<bits)), "one too many")
		assert.Nil(t, ds.Role(strings.ToUpper(last)))
		assert.Nil(t, ds.Role("bin"))
		assert.Equal(t, uint64(1)<<bits, ds.Len())
	}
	for _, prefix := range []string{"../bin", "root.json/x", "a\n"} {
		ds, err := tufmeta.ParseDelegations(d.document(t, succinct(4, prefix)))
		require.NoError(t, err)
		require.Error(t, ds.Role(prefix+"-0").Problem())
		require.Len(t, ds.Problems(), 1)
	}
}

// files is a targets document with these paths.
func files(t testing.TB, paths ...string) *tufmeta.Document {
	t.Helper()
	targets := object{}
	for _, path := range paths {
		targets[path] = object{"length": 1, "hashes": object{"sha256": "00"}}
	}
	return parse(t, signed(t, object{
		"_type": "targets", "spec_version": "1.0", "version": 1, "expires": "2040-01-01T00:00:00Z", "targets": targets,
	}))
}

func TestABinHoldsWhatFallsIntoIt(t *testing.T) {
	d := delegator{edKey(t, "a")}
	for _, path := range []string{"a", `q"uo\te`, "ü/😀", "x/y/z", "\u0001\u2028", ""} {
		sum := sha256.Sum256([]byte(path))
		digits := hex.EncodeToString(sum[:])
		holds := func(ds *tufmeta.Delegations, bin string) bool {
			err := ds.Holds(bin, files(t, path))
			require.True(t, err == nil || strings.Contains(err.Error(), "does not fall into bin "+bin), "%v", err)
			return err == nil
		}
		for _, bits := range []int{1, 3, 4, 7, 10, 32} {
			ds, err := tufmeta.ParseDelegations(d.document(t, succinct(bits, "bin")))
			require.NoError(t, err)
			number := uint64(sum[0])<<24 | uint64(sum[1])<<16 | uint64(sum[2])<<8 | uint64(sum[3])
			number >>= 32 - bits
			name := func(n uint64) string { return fmt.Sprintf("bin-%0*x", (bits+3)/4, n) }
			assert.True(t, holds(ds, name(number)), path)
			assert.False(t, holds(ds, name(number^1)), path)
			assert.NoError(t, ds.Holds("bin", files(t, path)), "it is no bin")
			assert.NoError(t, ds.Holds(name(number), files(t)))
		}
		bin := func(name string, prefixes ...string) object {
			return delegated(name, "paths", nil, "path_hash_prefixes", prefixes)
		}
		other := "0"
		if digits[0] == '0' {
			other = "1"
		}
		ds := d.parse(t, bin("short", digits[:1]), bin("several", other, digits[:2]), bin("whole", digits), bin("all", ""),
			bin("others", other), bin("none"), bin("upper", strings.ToUpper(digits)+"0"), delegated("team"))
		for name, want := range map[string]bool{
			"short": true, "several": true, "whole": true, "all": true, "others": false, "none": false, "upper": false,
			"team": true, "unknown": true,
		} {
			assert.Equal(t, want, holds(ds, name), "%s: %q", name, path)
		}
	}
	ds := d.parse(t, delegated("bin", "paths", nil, "path_hash_prefixes", []string{"ca"})) // a
	err := ds.Holds("bin", files(t, "a", "b"))
	require.EqualError(t, err, `signed.targets["b"]: does not fall into bin bin`)
}

// A bin of 100,000 target files.
func BenchmarkHolds(b *testing.B) {
	d := delegator{edKey(b, "a")}
	var paths []string
	for i := range 100_000 {
		paths = append(paths, fmt.Sprintf("path/to/target-%08d", i))
	}
	file := files(b, paths...)
	for name, delegations := range map[string]object{
		"prefixes": {"roles": []object{delegated("bin-0", "paths", nil, "path_hash_prefixes", []string{"", "0", "11"})}},
	} {
		ds, err := tufmeta.ParseDelegations(d.document(b, delegations))
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file.Bytes())))
			for b.Loop() {
				if err := ds.Holds("bin-0", file); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("readable", func(b *testing.B) {
		b.SetBytes(int64(len(file.Bytes())))
		for b.Loop() {
			if err := file.CheckReadable(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
