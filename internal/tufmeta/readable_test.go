package tufmeta

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each upload is refused with the place that its file is named after.
func TestUploadsThatSomeClientCannotReadAreRefused(t *testing.T) {
	want := map[string]string{
		"expires-with-a-fraction":  `signed.expires: "2030-01-01T00:00:00.5Z"`,
		"expires-with-an-offset":   `signed.expires: "2030-01-01T00:00:00+02:00"`,
		"neither-paths-nor-prefix": "signed.delegations.roles[0]: not just one of paths and path_hash_prefixes",
		"paths-and-prefixes":       `signed.delegations.roles[0]: "team": paths: beside path_hash_prefixes`,
		"spec_version-1":           `signed.spec_version: "1" is`,
		"spec_version-1.x":         `signed.spec_version: "1.foo.bar.baz" is`,
	}
	files, err := filepath.Glob("testdata/uploads/*.json")
	require.NoError(t, err)
	require.Len(t, files, len(want))
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		d, err := Parse(data)
		require.NoError(t, err)
		_, err = ParseDelegations(d)
		require.NoError(t, err, "one that is published already is read")
		require.ErrorContains(t, d.CheckReadable(), want[strings.TrimSuffix(filepath.Base(file), ".json")])
	}
}

const (
	readableKey  = `"a":{"keytype":"ed25519","keyval":{"public":"` + "1111111111111111111111111111111111111111111111111111111111111111" + `"},"scheme":"ed25519"}`
	readableRole = `{"keyids":["a"],"name":"team","paths":["*"],"terminating":false,"threshold":1}`
	readable     = `{"signatures":[{"keyid":"a","sig":"00"}],"signed":{"_type":"targets","delegations":{"keys":{` + readableKey +
		`},"roles":[` + readableRole + `]},"expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31",` +
		`"targets":{"x":{"custom":{"n":1},"hashes":{"sha256":"ab"},"length":1}},"version":1,"x-custom":{"N":[1,"2"]}}}`
)

// Each change of a document that all read makes one that some client does not read, or reads
// otherwise.
func TestWhatSomeClientDoesNotReadIsRefusedWithItsPlace(t *testing.T) {
	d, err := Parse([]byte(readable))
	require.NoError(t, err)
	require.NoError(t, d.CheckReadable())
	for want, change := range map[string][2]string{
		`signed["x-custom"]["N"][0]: 9007199254740992 is beyond`:     {`[1,`, `[9007199254740992,`},
		`signed["x-custom"]["N"][0]: -9007199254740992 is beyond`:    {`[1,`, `[-9007199254740992,`},
		`signed["x-custom"]: the names "～" and "😀"`:                  {`"N":`, `"～":1,"😀":1,"N":`},
		`signed["targets"]["x"]["custom"]["n"]: 9223372036854775807`: {`{"n":1}`, `{"n":9223372036854775807}`},
		`signed."Version": go-tuf takes it for "version"`:            {`"version":1`, `"version":1,"Version":2`},
		`signed."ſpec_version": go-tuf takes it`:                     {`"version":1`, `"version":1,"ſpec_version":2`},
		`"Signatures": go-tuf takes it for "signatures"`:             {`{"signatures"`, `{"Signatures":[],"signatures"`},
		`signatures."Sig": go-tuf takes it for "sig"`:                {`"sig":"00"`, `"sig":"00","Sig":"11"`},
		`written as an escape`:                                       {`"sig":"00"`, `"sig":"\u00300"`},
		`signed.targets["x"].hashes."sha256": upper-case hex`:        {`"ab"`, `"AB"`},
		`signed.targets["x"].custom: null`:                           {`{"n":1}`, `null`},
		`signed.targets["x"]."Length": go-tuf takes it for`:          {`"length":1`, `"length":1,"Length":2`},
		`signed.targets["x"].length: missing`:                        {`,"length":1`, ``},
		`signed.delegations."Keys": go-tuf takes it`:                 {`"roles":[`, `"Keys":{},"roles":[`},
		`signed.delegations.roles[0]."Name": go-tuf takes it`:        {`"name":"team"`, `"name":"team","Name":"x"`},
		`signed.delegations.roles[0]: "team": threshold: 2`:          {`"threshold":1`, `"threshold":2`},
		`signed.delegations.roles[1]: name: "team" is there`:         {readableRole, readableRole + `,` + readableRole},
		`signed.delegations.roles: empty`:                            {readableRole, ``},
		`signed.delegations.roles: "team": keyids: "b" is not`:       {`"keyids":["a"]`, `"keyids":["a","b"]`},
		`keys["a"]: unsupported keytype "new"`:                       {`"keytype":"ed25519"`, `"keytype":"new"`},
		`keys["a"]."Scheme": go-tuf takes it for "scheme"`:           {`"keytype":`, `"Scheme":"x","keytype":`},
		`keys["a"].keyval."Public": go-tuf takes it`:                 {`"public":`, `"Public":"x","public":`},
		`keys["a"].keyval["x"]: not a string`:                        {`"public":`, `"x":1,"public":`},
		`signed.expires: "0000-01-01T00:00:00Z"`:                     {`2030-01-01`, `0000-01-01`},
		`signed.spec_version: "1.0.0.0"`:                             {`1.0.31`, `1.0.0.0`},
		`signed.spec_version: "1.x"`:                                 {`1.0.31`, `1.x`},
	} {
		text := strings.Replace(readable, change[0], change[1], 1)
		require.NotEqual(t, readable, text)
		d, err := Parse([]byte(text))
		require.NoError(t, err, want)
		assert.ErrorContains(t, d.CheckReadable(), want)
	}
	timestamp, err := Parse([]byte(`{"signatures":[],"signed":` + fuzzTimestamp + `}`))
	require.NoError(t, err)
	require.ErrorContains(t, timestamp.CheckReadable(), `signed._type: "timestamp" is not "targets"`)
}

// go-tuf reads what CheckReadable takes, and verifies what was signed and not a text of its own.
func FuzzReadable(f *testing.F) {
	names := newKeyring(f).names(f)
	f.Add([]byte(readable), []byte{})
	f.Add([]byte(strings.ReplaceAll(readable, `"paths":["*"]`, `"path_hash_prefixes":["0"]`)), []byte{})
	f.Add([]byte(`{"signatures":[],"signed":`+fuzzTargets+`}`), []byte{})
	f.Add([]byte(`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z",`+
		`"targets":{},"delegations":{"keys":{"a":{`+fuzzEd25519+`}},`+
		`"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":5,"name_prefix":"bins"}}}}`), []byte{})
	f.Fuzz(func(t *testing.T, data, edits []byte) {
		data = []byte(names.Replace(string(mutate(data, edits))))
		d, err := Parse(data)
		if err != nil || d.CheckReadable() != nil {
			return
		}
		_, err = ParseDelegations(d)
		require.NoError(t, err)
		theirs, err := readForeign(data)
		require.NoError(t, err)
		rewritten, err := rewrites(d, theirs)
		require.NoError(t, err)
		require.False(t, rewritten)
	})
}
