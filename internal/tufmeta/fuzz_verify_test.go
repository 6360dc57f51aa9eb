package tufmeta

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzRoot is the signed part of a root whose roles have these keys, by ID from "a" on, and
// thresholds.
func fuzzRoot(keys []string, roles string) string {
	var declared []string
	for i, key := range keys {
		declared = append(declared, fmt.Sprintf(`"%c":{%s}`, 'a'+i, key))
	}
	return `{"_type":"root","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z","consistent_snapshot":true,"keys":{` +
		strings.Join(declared, ",") + `},"roles":{"root":{"keyids":["a"],"threshold":1},` + roles + `}}`
}

const (
	fuzzEd25519 = `"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"$0x"}`
	fuzzOther   = `"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"$1x"},"x-owner":"@somebody"`
	fuzzP256    = `"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$2"}`
	fuzzP256x   = `"keytype":"ecdsa-sha2-nistp256","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$2x"}`
	fuzzP384    = `"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp384","keyval":{"public":"$3"}`
	fuzzRSA     = `"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"$5"}`
	fuzzWeak    = `"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"$6"}`

	fuzzTimestamp = `{"_type":"timestamp","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1}}}`
	fuzzSnapshot  = `{"_type":"snapshot","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","meta":{"targets.json":{"version":1,` +
		`"length":5,"hashes":{"sha256":"00"}},"a.json":{"version":1,"x":9007199254740993}},"x":"\u00fc"}`
	fuzzTargets = `{"_type":"targets","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","targets":{"a":{"length":1,` +
		`"hashes":{"sha256":"00"},"custom":{"x":1}}},"delegations":{"keys":{},"roles":[]}}`
)

// fuzzRoles gives the three roles that are not root's the same key IDs and threshold.
func fuzzRoles(ids string, threshold int) string {
	var roles []string
	for _, role := range []string{Timestamp, Snapshot, Targets} {
		roles = append(roles, fmt.Sprintf(`%q:{"keyids":["%s"],"threshold":%d}`, role,
			strings.Join(strings.Split(ids, ""), `","`), threshold))
	}
	return strings.Join(roles, ",")
}

// signText makes a file of the text of a signed object. Signers come in pairs: how to sign, see
// keyring.sign, and the key ID, "a" for 0.
func (keys keyring) signText(t *testing.T, signed string, signers []byte) ([]byte, bool) {
	t.Helper()
	canonical, err := oracle(signed)
	if err != nil {
		return nil, false
	}
	var sigs []string
	for i := 0; i+1 < len(signers) && i < 16; i += 2 {
		sigs = append(sigs, fmt.Sprintf(`{"keyid":"%c","sig":"%x"}`, 'a'+signers[i+1]%8,
			keys.sign(t, signers[i], []byte(canonical))))
	}
	return []byte(`{"signatures":[` + strings.Join(sigs, ",") + `],"signed":` + signed + `}`), true
}

// What we take for signed, go-tuf takes for signed by the same root, and the other way round, but
// for differences that have a reason.
func FuzzVerify(f *testing.F) {
	keys := newKeyring(f)
	names := keys.names(f)
	one := fuzzRoot([]string{fuzzEd25519}, fuzzRoles("a", 1))
	several := []string{fuzzEd25519, fuzzOther, fuzzP256, fuzzP384, fuzzRSA, fuzzEd25519, fuzzP256x, fuzzWeak}
	for _, seed := range []struct {
		root, signed string
		signers      []byte
	}{
		{one, fuzzTimestamp, []byte{0, 0}},
		{one, one, []byte{0, 0}},
		{one, fuzzSnapshot, []byte{0 | brokenOff, 0}},
		{fuzzRoot(several, fuzzRoles("abcde", 5)), fuzzTargets, []byte{0, 0, 1, 1, 2, 2, 3 | otherHash, 3, 5, 4}},
		{fuzzRoot(several, fuzzRoles("abcde", 2)), fuzzTargets, []byte{3, 3, 5 | otherHash, 4}},
		{fuzzRoot(several, fuzzRoles("af", 2)), fuzzTimestamp, []byte{0, 0, 0, 5}},
		{fuzzRoot(several, fuzzRoles("cg", 1)), fuzzTimestamp, []byte{2, 6}},
		{fuzzRoot(several, fuzzRoles("h", 1)), fuzzTimestamp, []byte{6, 7}},
		{fuzzRoot(several, fuzzRoles("ab", 1)), fuzzTimestamp, []byte{1, 0, 0, 1}},
	} {
		f.Add([]byte(seed.root), []byte(seed.signed), seed.signers, []byte{}, []byte{})
	}
	f.Fuzz(func(t *testing.T, rootText, signed, signers, rootEdits, edits []byte) {
		rootFile, ok := keys.signText(t, names.Replace(string(mutate(rootText, rootEdits))), []byte{0, 0})
		file, ok2 := keys.signText(t, names.Replace(string(mutate(signed, edits))), signers)
		if !ok || !ok2 {
			return
		}
		rootDocument, err := Parse(rootFile)
		if err != nil {
			return // FuzzParse compares what is read
		}
		d, err := readAll(file)
		if err != nil || hasOddCase(rootFile) || hasOddCase(file) {
			return
		}
		root, err := ParseRoot(rootDocument)
		if err != nil {
			return
		}
		theirRoot, err := readForeign(rootFile)
		if err != nil {
			require.NotEmpty(t, onlyWeRead(rootFile), "%v", err)
			return
		}
		requireForeignVerifies(t, theirRoot, root.Roles[Root], rootDocument, theirRoot)
		theirs, err := readForeign(file)
		if err != nil {
			require.NotEmpty(t, onlyWeRead(file), "%v", err)
			return
		}
		role := root.Roles[d.Type()]
		if _, err = role.Verify(d); err == nil {
			requireForeignVerifies(t, theirRoot, role, d, theirs)
			return
		}
		if role.Problem() != nil {
			return
		}
		require.ErrorIs(t, err, ErrThreshold)
		if theirRoot.verifies(role.Name, theirs) != nil {
			return
		}
		for _, k := range role.Keys {
			if verifiedOtherwise(k) != "" {
				return
			}
			declared := foreignOf(t, k)
			if public, err := foreignKey(declared); err == nil && k.err != nil && onlyTheyVerify(declared, public) != "" {
				return
			}
		}
		require.Fail(t, "only go-tuf takes it for signed")
	})
}

// requireForeignVerifies requires that go-tuf takes for signed what we do, unless it signs its own
// rewriting of the document, or cannot read one of the role's keys, which makes it refuse all that
// the role signs.
func requireForeignVerifies(t *testing.T, root foreign, role *Role, d *Document, f foreign) {
	t.Helper()
	if slices.ContainsFunc(role.Keys, func(k *Key) bool { return verifiedOtherwise(k) != "" }) {
		return
	}
	refuses := root.verifies(role.Name, f)
	rewritten, err := rewrites(d, f)
	require.NoError(t, err)
	if refuses == nil || rewritten {
		require.NotEqual(t, rewritten, refuses == nil)
		return
	}
	for _, id := range root.root.Signed.Roles[role.Name].KeyIDs {
		if _, err := foreignKey(root.root.Signed.Keys[id]); err != nil {
			return
		}
	}
	require.NoError(t, refuses, "only we take it for signed")
}
