package tufmeta

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Delegations are the same roles here and to go-tuf, in the same order, with the same keys;
// whatever is not has a reason.
func FuzzDelegations(f *testing.F) {
	names := newKeyring(f).names(f)
	var file struct {
		Signed struct{ Delegations json.RawMessage }
	}
	require.NoError(f, json.Unmarshal(fixtures(f)["testdata/sigstore-root-signing/metadata/11.targets.json"], &file))
	f.Add([]byte(file.Signed.Delegations), []byte{}, "a")
	const keys = `"keys":{"a":{` + fuzzEd25519 + `},"b":{` + fuzzP256 + `},"c":{` + fuzzOther + `}}`
	for _, seed := range []string{
		`"roles":[]`,
		`"roles":[{"name":"z","keyids":["b","a"],"threshold":2,"paths":["*","a/?"],"terminating":true},` +
			`{"name":"a b/ü","keyids":["c"],"threshold":1,"path_hash_prefixes":["0","ff"],"terminating":false}]`,
		`"roles":[{"name":"a","keyids":["a"],"threshold":1,"paths":["*"],"path_hash_prefixes":null,"terminating":false}]`,
		`"roles":[{"name":"a","keyids":["a"],"threshold":2,"paths":[],"terminating":1},{"name":"a"},{"name":7},{"name":"2.root"}]`,
		`"roles":[{"name":"../a","keyids":["a"],"threshold":1,"paths":[],"terminating":false}]`,
		`"roles":[{"name":"a","keyids":["d"],"threshold":1,"paths":[],"terminating":false}]`,
		`"succinct_roles":{"keyids":["a","b"],"threshold":1,"bit_length":5,"name_prefix":"bins"}`,
		`"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":32,"name_prefix":"b/0"}`,
		`"succinct_roles":{"keyids":["a"],"threshold":2,"bit_length":0,"name_prefix":""}`,
		`"succinct_roles":{"keyids":["a"],"threshold":1,"bit_length":4,"name_prefix":"x"},"roles":[]`,
	} {
		f.Add([]byte(`{`+keys+`,`+seed+`}`), []byte{}, "path/to/a-file.txt")
	}
	f.Fuzz(func(t *testing.T, delegations, edits []byte, target string) {
		text := []byte(`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z",` +
			`"targets":{},"delegations":` + names.Replace(string(mutate(delegations, edits))) + `}}`)
		d, err := Parse(text)
		if err != nil || hasOddCase(text) {
			return // FuzzParse compares these
		}
		ds, err := ParseDelegations(d)
		theirs, theirErr := readForeign(text)
		switch {
		case err != nil && theirErr != nil:
			return
		case err != nil:
			require.NotEmpty(t, refusal(err), "only go-tuf reads them, we say: %v", err)
			return
		case theirErr != nil:
			require.NotEmpty(t, onlyWeRead(text), "only we read them, go-tuf says: %v", theirErr)
			return
		case theirs.delegations == nil: // the text closes the signed object before delegations
			require.Zero(t, ds.Len())
			return
		case theirs.delegations.SuccinctRoles != nil:
			requireSameBins(t, ds, theirs.delegations, target)
			return
		}
		seen := map[string]bool{}
		for role := range ds.All() {
			require.False(t, seen[role.Name])
			seen[role.Name] = true
			want := theirs.delegations.Roles
			at := slices.IndexFunc(want, func(r metadata.DelegatedRole) bool { return r.Name == role.Name })
			require.GreaterOrEqual(t, at, 0)
			for _, before := range want[:at] { // they are in the order of priority
				require.True(t, seen[before.Name] || before.Name == "", "%q is left out", before.Name)
			}
			require.Same(t, role, ds.Role(role.Name))
			if role.Problem() != nil {
				require.NotEmpty(t, ds.Problems())
				continue
			}
			requireSameKeys(t, role, want[at].KeyIDs, want[at].Threshold, theirs.delegations.Keys)
			require.Equal(t, want[at].PathHashPrefixes != nil, ds.IsBin(role.Name))
		}
		for _, role := range theirs.delegations.Roles {
			require.True(t, seen[role.Name] || role.Name == "", "%q is left out", role.Name)
		}
	})
}

func requireSameBins(t *testing.T, ds *Delegations, theirs *metadata.Delegations, target string) {
	t.Helper()
	s := theirs.SuccinctRoles
	require.Equal(t, uint64(1)<<s.BitLength, ds.Len())
	for _, bin := range s.GetRolesForTarget(target) {
		require.True(t, ds.IsBin(bin.Name), bin.Name)
		require.NotNil(t, ds.Role(bin.Name), bin.Name)
	}
	if s.BitLength > 10 {
		return
	}
	want := s.GetRoles()
	for role := range ds.All() {
		require.NotNil(t, role)
		require.Equal(t, want[0], role.Name)
		requireSameKeys(t, role, s.KeyIDs, s.Threshold, theirs.Keys)
		want = want[1:]
	}
	require.Empty(t, want)
}

func requireSameKeys(t *testing.T, role *Role, ids []string, threshold int, keys map[string]*metadata.Key) {
	t.Helper()
	if role.Problem() != nil {
		return
	}
	require.Equal(t, threshold, role.Threshold)
	require.Len(t, role.Keys, len(ids))
	for i, k := range role.Keys {
		require.Equal(t, ids[i], k.ID)
		if k.Problem() == nil {
			require.Equal(t, keys[k.ID], foreignOf(t, k))
		}
	}
}
