package tufmeta_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// An object is a JSON object in the making.
type object = map[string]any

// A testKey is a key as a document declares it, and what signs for it.
type testKey struct {
	id      string
	declare object
	sign    func(message []byte) []byte
}

func declare(keytype, scheme, public string) object {
	return object{"keytype": keytype, "scheme": scheme, "keyval": object{"public": public}}
}

func pkix(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func edKey(t testing.TB, id string) testKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return testKey{id, declare("ed25519", "ed25519", hex.EncodeToString(public)), func(message []byte) []byte {
		return ed25519.Sign(private, message)
	}}
}

func ecKey(t testing.TB, curve elliptic.Curve, keytype, scheme string, asHex bool) testKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	public := pkix(t, &private.PublicKey)
	if asHex {
		point, err := private.PublicKey.Bytes()
		require.NoError(t, err)
		public = hex.EncodeToString(point)
	}
	return testKey{"ec", declare(keytype, scheme, public), func(message []byte) []byte {
		sum := sha256.Sum256(message)
		digest := sum[:]
		switch scheme {
		case "ecdsa-sha2-nistp384":
			sum := sha512.Sum384(message)
			digest = sum[:]
		case "ecdsa-sha2-nistp521":
			sum := sha512.Sum512(message)
			digest = sum[:]
		}
		sig, err := ecdsa.SignASN1(rand.Reader, private, digest)
		require.NoError(t, err)
		return sig
	}}
}

// rsaKey signs as the scheme asks, with a salt of that length.
func rsaKey(t testing.TB, bits int, scheme string, salt int) testKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return testKey{"rsa", declare("rsa", scheme, pkix(t, &private.PublicKey)), func(message []byte) []byte {
		padding, size, _ := strings.Cut(scheme, "-sha")
		hash := map[string]crypto.Hash{
			"224": crypto.SHA224, "256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512,
		}[size]
		h := hash.New()
		h.Write(message)
		if padding == "rsa-pkcs1v15" {
			sig, err := rsa.SignPKCS1v15(rand.Reader, private, hash, h.Sum(nil))
			require.NoError(t, err)
			return sig
		}
		sig, err := rsa.SignPSS(rand.Reader, private, hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: salt})
		require.NoError(t, err)
		return sig
	}}
}

// rootOf is the signed part of a root with one set of keys for all roles.
func rootOf(version, threshold int, keys ...testKey) object {
	declared, ids := object{}, []string{}
	for _, k := range keys {
		declared[k.id] = k.declare
		ids = append(ids, k.id)
	}
	roles := object{}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		roles[role] = object{"keyids": ids, "threshold": threshold}
	}
	return object{
		"_type": "root", "spec_version": "1.0.34", "version": version, "expires": "2040-01-01T00:00:00Z",
		"consistent_snapshot": true, "keys": declared, "roles": roles,
	}
}

// signed is a document with signatures by these keys.
func signed(t testing.TB, body object, keys ...testKey) []byte {
	t.Helper()
	canonical, err := cjson.EncodeCanonical(body)
	require.NoError(t, err)
	sigs := []object{}
	for _, k := range keys {
		sigs = append(sigs, object{"keyid": k.id, "sig": hex.EncodeToString(k.sign(canonical))})
	}
	data, err := json.MarshalIndent(object{"signed": body, "signatures": sigs}, "", " ")
	require.NoError(t, err)
	return data
}

func TestSignaturesVerifyByTheirScheme(t *testing.T) {
	for name, key := range map[string]testKey{
		"ed25519":                       edKey(t, "ed"),
		"P-256":                         ecKey(t, elliptic.P256(), "ecdsa", "ecdsa-sha2-nistp256", false),
		"P-256, old keytype":            ecKey(t, elliptic.P256(), "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", false),
		"P-256 in hex":                  ecKey(t, elliptic.P256(), "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", true),
		"P-384":                         ecKey(t, elliptic.P384(), "ecdsa", "ecdsa-sha2-nistp384", false),
		"P-384, own keytype":            ecKey(t, elliptic.P384(), "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", true),
		"P-384 as go-tuf declares it":   ecKey(t, elliptic.P384(), "ecdsa", "ecdsa-sha2-nistp256", false),
		"P-521":                         ecKey(t, elliptic.P521(), "ecdsa", "ecdsa-sha2-nistp521", false),
		"P-521, own keytype":            ecKey(t, elliptic.P521(), "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", true),
		"RSA, salt of 32 bytes":         rsaKey(t, 2048, "rsassa-pss-sha256", 32),
		"RSA, salt as long as possible": rsaKey(t, 2048, "rsassa-pss-sha256", rsa.PSSSaltLengthAuto),
		"RSA-PSS, SHA-224":              rsaKey(t, 2048, "rsassa-pss-sha224", rsa.PSSSaltLengthEqualsHash),
		"RSA-PSS, SHA-384":              rsaKey(t, 2048, "rsassa-pss-sha384", rsa.PSSSaltLengthEqualsHash),
		"RSA-PSS, SHA-512":              rsaKey(t, 2048, "rsassa-pss-sha512", rsa.PSSSaltLengthEqualsHash),
		"PKCS #1, SHA-224":              rsaKey(t, 2048, "rsa-pkcs1v15-sha224", 0),
		"PKCS #1, SHA-256":              rsaKey(t, 2048, "rsa-pkcs1v15-sha256", 0),
		"PKCS #1, SHA-384":              rsaKey(t, 2048, "rsa-pkcs1v15-sha384", 0),
		"PKCS #1, SHA-512":              rsaKey(t, 2048, "rsa-pkcs1v15-sha512", 0),
	} {
		root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, key), key)))
		require.NoError(t, err, name)
		assert.Equal(t, key.id, root.Roles["snapshot"].Keys[0].ID)
	}
}

// TUF checklist 4.
func TestKeysThatCannotBeUsedVerifyNothing(t *testing.T) {
	good := edKey(t, "good")
	for name, key := range map[string]testKey{
		"RSA of 1024 bits": rsaKey(t, 1024, "rsassa-pss-sha256", 32),
		"RSA by PKCS #1": {"odd", rsaKey(t, 2048, "rsassa-pss-sha256", 0).declare,
			rsaKey(t, 2048, "rsa-pkcs1v15-sha256", 0).sign},
		"RSA by SHA-1":    {"odd", rsaKey(t, 2048, "rsa-pkcs1v15-sha1", 0).declare, good.sign},
		"unknown keytype": {"odd", declare("quantum", "ed25519", "00"), good.sign},
		"unknown scheme":  {"odd", declare("ed25519", "ed448", "00"), good.sign},
		"short ed25519":   {"odd", declare("ed25519", "ed25519", "00ff"), good.sign},
		"no hex":          {"odd", declare("ed25519", "ed25519", "zz"), good.sign},
		"RSA of 16392 bits": {"odd", declare("rsa", "rsassa-pss-sha256", pkix(t, &rsa.PublicKey{
			N: new(big.Int).SetBit(big.NewInt(1), 16391, 1), E: 65537,
		})), good.sign},
		"not on the curve": {"odd", declare("ecdsa", "ecdsa-sha2-nistp256", "04"+strings.Repeat("11", 64)), good.sign},
		"P-224": {"odd", func() object {
			private, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
			require.NoError(t, err)
			return declare("ecdsa", "ecdsa-sha2-nistp256", pkix(t, &private.PublicKey))
		}(), good.sign},
		"Sigstore identity": {"odd", object{"keytype": "sigstore-oidc", "scheme": "Fulcio",
			"keyval": object{"identity": "someone@example.invalid", "issuer": "https://issuer.invalid"}}, good.sign},
		"no keyval":                    {"odd", object{"keytype": "ed25519", "scheme": "ed25519"}, good.sign},
		"numbers":                      {"odd", object{"keytype": 1, "scheme": 2, "keyval": 3}, good.sign},
		"no object":                    {"odd", nil, good.sign},
		"control characters in the ID": {"odd\n", good.declare, good.sign},
	} {
		_, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, key), key)))
		assert.ErrorIs(t, err, tufmeta.ErrThreshold, name)
		_, err = tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, key, good), good)))
		assert.NoError(t, err, "%s: beside another key it does no harm", name)
	}
}

// TUF checklist 3 and 6.
func TestAThresholdOfDifferentKeysHasToSign(t *testing.T) {
	a, b := edKey(t, "a"), edKey(t, "b")
	again := testKey{"again", a.declare, a.sign}
	stranger := testKey{"a", edKey(t, "").declare, edKey(t, "").sign}
	for name, test := range map[string]struct {
		declared, signers []testKey
		threshold         int
		ok                bool
	}{
		"one of one":                    {[]testKey{a}, []testKey{a}, 1, true},
		"one of two":                    {[]testKey{a, b}, []testKey{b}, 1, true},
		"two of two":                    {[]testKey{a, b}, []testKey{a, b}, 2, true},
		"one where two are needed":      {[]testKey{a, b}, []testKey{a}, 2, false},
		"none":                          {[]testKey{a}, nil, 1, false},
		"a key that is not declared":    {[]testKey{a}, []testKey{b}, 1, false},
		"another key under the same ID": {[]testKey{a}, []testKey{stranger}, 1, false},
		"one key under two IDs":         {[]testKey{a, again}, []testKey{a, again}, 2, false},
	} {
		_, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, test.threshold, test.declared...), test.signers...)))
		if test.ok {
			assert.NoError(t, err, name)
		} else {
			assert.ErrorIs(t, err, tufmeta.ErrThreshold, name)
		}
	}
}

// A role of root that makes no sense is its own trouble, but for root's.
func TestARoleThatMakesNoSenseVerifiesNothing(t *testing.T) {
	key := edKey(t, "a")
	for want, role := range map[string]any{
		"missing":                    "none",
		"not an object":              nil,
		"keyids: missing":            object{"threshold": 1},
		"keyids: element 0":          object{"threshold": 1, "keyids": []any{1}},
		`keyids: "a" is there twice`: object{"threshold": 1, "keyids": []string{"a", "a"}},
		"threshold: 0 is less":       object{"threshold": 0, "keyids": []string{"a"}},
		"threshold: 2, of 1 keys":    object{"threshold": 2, "keyids": []string{"a"}},
		"threshold: not an integer":  object{"threshold": "1", "keyids": []string{"a"}},
	} {
		body := rootOf(1, 1, key)
		roles := body["roles"].(object)
		roles["snapshot"] = role
		if role == "none" {
			delete(roles, "snapshot")
		}
		root, err := tufmeta.ParseRoot(parse(t, signed(t, body, key)))
		require.NoError(t, err, want)
		require.ErrorContains(t, root.Roles["snapshot"].Problem(), want)
		require.NoError(t, root.Roles["targets"].Problem())
		snapshot := parse(t, signed(t, object{"_type": "snapshot", "spec_version": "1.0", "version": 1,
			"expires": "2040-01-01T00:00:00Z", "meta": object{"targets.json": object{"version": 1}}}, key))
		_, err = root.Roles["snapshot"].Verify(snapshot)
		require.ErrorContains(t, err, want)
		_, err = root.Roles["snapshot"].Believe(snapshot)
		require.ErrorContains(t, err, want)
		assert.False(t, root.Roles["snapshot"].Enough(root.Roles["targets"].Keys))
		assert.False(t, root.Roles["snapshot"].SameKeys(root.Roles["targets"]))
	}

	// A key that nobody declares is one that verifies nothing.
	body := rootOf(1, 1, key)
	body["roles"].(object)["snapshot"] = object{"threshold": 1, "keyids": []string{"b", "a"}}
	root, err := tufmeta.ParseRoot(parse(t, signed(t, body, key)))
	require.NoError(t, err)
	require.NoError(t, root.Roles["snapshot"].Problem())
	require.ErrorContains(t, root.Roles["snapshot"].Keys[0].Problem(), `"b" is not among the keys`)
	assert.True(t, root.Roles["snapshot"].SameKeys(root.Roles["targets"]))
}

func TestWhoSignedIsToldByDigests(t *testing.T) {
	a, b, c := edKey(t, "a"), edKey(t, "b"), edKey(t, "c")
	again := testKey{"again", a.declare, a.sign}
	root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 2, a, b, again, c), a, again, b)))
	require.NoError(t, err)
	role := root.Roles["root"]
	digests := map[string]string{}
	for _, k := range role.Keys {
		require.Len(t, k.Digest(), 64)
		digests[k.ID] = k.Digest()
	}
	assert.Equal(t, digests["a"], digests["again"])
	want := []string{digests["a"], digests["b"]}
	slices.Sort(want)
	assert.Equal(t, want, role.SignedBy(root.Document))
	assert.True(t, role.EnoughDigests(want))
	assert.False(t, role.EnoughDigests([]string{digests["a"], digests["a"], "", "x"}))
	assert.False(t, role.EnoughDigests(nil))

	other, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 2, again, c, testKey{"x", b.declare, b.sign}), again, c)))
	require.NoError(t, err)
	assert.True(t, role.SameKeys(other.Roles["root"]), "whatever the keys are called")
	assert.False(t, role.Equal(other.Roles["root"]))
	other, err = tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, a, b, c), a)))
	require.NoError(t, err)
	assert.False(t, role.SameKeys(other.Roles["root"]), "the threshold differs")
}

func TestABelievedDocumentNeedsNoSignatures(t *testing.T) {
	key := edKey(t, "a")
	root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, key), key)))
	require.NoError(t, err)
	snapshot := parse(t, signed(t, object{"_type": "snapshot", "spec_version": "1.0", "version": 1,
		"expires": "2040-01-01T00:00:00Z", "meta": object{"targets.json": object{"version": 1}}}))
	v, err := root.Roles["snapshot"].Believe(snapshot)
	require.NoError(t, err)
	assert.True(t, v.Believed())
	assert.False(t, root.Believed())
	assert.Same(t, root.Roles["snapshot"], v.Role())
	_, err = root.Roles["targets"].Believe(snapshot)
	require.ErrorContains(t, err, `has type "snapshot", not "targets"`)
}

// TUF checklist 13.
func TestARootFollowsTheOneBeforeIt(t *testing.T) {
	a, b := edKey(t, "a"), edKey(t, "b")
	first, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, a), a)))
	require.NoError(t, err)
	follow := func(body object, signers ...testKey) error {
		_, err := first.Follow(parse(t, signed(t, body, signers...)))
		return err
	}
	require.NoError(t, follow(rootOf(2, 1, a), a))
	require.NoError(t, follow(rootOf(2, 1, b), a, b))
	require.ErrorContains(t, follow(rootOf(3, 1, a), a), "has version 3, not 2")
	require.ErrorContains(t, follow(rootOf(1, 1, a), a), "has version 1, not 2")
	require.ErrorIs(t, follow(rootOf(2, 1, b), b), tufmeta.ErrThreshold, "not signed by the keys before")
	require.ErrorIs(t, follow(rootOf(2, 1, b), a), tufmeta.ErrThreshold, "not signed by its own keys")
}

func TestDocumentsWithoutSenseAreRefusedWithTheirPlace(t *testing.T) {
	key := edKey(t, "a")
	good := rootOf(1, 1, key)
	timestamp := func(meta any) object {
		return object{"_type": "timestamp", "spec_version": "1.0", "version": 1, "expires": "2040-01-01T00:00:00Z",
			"meta": meta}
	}
	change := func(body object, name string, value any) object {
		changed := object{}
		maps.Copy(changed, body)
		if value == "none" {
			delete(changed, name)
		} else {
			changed[name] = value
		}
		return changed
	}
	for want, body := range map[string]object{
		"signed._type: missing":                           change(good, "_type", "none"),
		`signed._type: unknown type "mirrors"`:            change(good, "_type", "mirrors"),
		"signed.spec_version: missing":                    change(good, "spec_version", "none"),
		`signed.spec_version: "2.0" is not 1.x`:           change(good, "spec_version", "2.0"),
		"signed.version: missing":                         change(good, "version", "none"),
		"signed.version: 0 is not between":                change(good, "version", 0),
		"signed.version: -1 is not between":               change(good, "version", -1),
		"signed.version: 9007199254740992 is not between": change(good, "version", 1<<53),
		"signed.version: not an integer":                  change(good, "version", "1"),
		"signed.expires: missing":                         change(good, "expires", "none"),
		"signed.expires: parsing time":                    change(good, "expires", "tomorrow"),
		"signed.expires: not a string":                    change(good, "expires", nil),
		"signed.keys: not an object":                      change(good, "keys", nil),
		"signed.keys: missing":                            change(good, "keys", "none"),
		"signed.roles: not an object":                     change(good, "roles", []any{}),
		"signed.roles.root: missing":                      change(good, "roles", object{}),
		"signed.consistent_snapshot: not true":            change(good, "consistent_snapshot", 1),
		"signed.roles.root: keyids: missing":              change(good, "roles", object{"root": object{"threshold": 1}}),
		"signed.roles.root: threshold: 0 is less": change(good, "roles",
			object{"root": object{"threshold": 0, "keyids": []string{"a"}}}),
		"signed.roles.root: threshold: 2, of 1": change(good, "roles",
			object{"root": object{"threshold": 2, "keyids": []string{"a"}}}),
		`signed.roles.root: keyids: "a" is there twice`: change(good, "roles",
			object{"root": object{"threshold": 1, "keyids": []string{"a", "a"}}}),
		"signed.meta: missing, or not an object": timestamp(nil),
		"signed.meta: lists 2 files": timestamp(object{"snapshot.json": object{"version": 1},
			"x.json": object{"version": 1}}),
		"signed.meta: does not list snapshot.json":    timestamp(object{"x.json": object{"version": 1}}),
		"signed.meta.snapshot.json: version: missing": timestamp(object{"snapshot.json": object{}}),
		"signed.meta.snapshot.json: not an object":    timestamp(object{"snapshot.json": nil}),
		"signed.meta.snapshot.json: length: -1 is not": timestamp(object{"snapshot.json": object{"version": 1,
			"length": -1}}),
		"signed.meta.snapshot.json: hashes: not an object": timestamp(object{"snapshot.json": object{"version": 1,
			"hashes": []any{}}}),
		"signed.meta.snapshot.json: hashes.sha256: not a s": timestamp(object{"snapshot.json": object{"version": 1,
			"hashes": object{"sha256": 1}}}),
	} {
		d, err := tufmeta.Parse(signed(t, body, key))
		if err == nil {
			_, err = tufmeta.ParseRoot(d)
		}
		assert.ErrorContains(t, err, want)
	}
	for text, want := range map[string]string{
		`{}`:                                        "signatures: missing",
		`{"signatures":null}`:                       "signatures: not an array",
		`{"signatures":[]}`:                         "signed: missing",
		`{"signatures":[],"signed":null}`:           "signed: not an object",
		`{"signatures":[null],"signed":{}}`:         "signatures[0]: not an object",
		`{"signatures":[{"keyid":"a"}]}`:            "signatures[0].sig: missing",
		`{"signatures":[{"keyid":"a","sig":"zz"}]}`: "signatures[0].sig: encoding/hex",
		`{"signatures":[{"keyid":"a","sig":""},{"keyid":"a","sig":"00"}]}`: `signatures[1].keyid: "a" is there twice`,
	} {
		_, err := tufmeta.Parse([]byte(text))
		assert.ErrorContains(t, err, want, text)
	}
}

// One key that signs by two schemes is not one way of signing.
func TestRolesAreTheSameIfTheSameSignaturesCount(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	fingerprint := func(id, scheme string) (*tufmeta.Role, string) {
		key := testKey{id, declare("ecdsa", scheme, pkix(t, &private.PublicKey)), nil}
		ds, err := tufmeta.ParseDelegations(parse(t, signed(t, object{
			"_type": "targets", "spec_version": "1.0", "version": 1, "expires": "2040-01-01T00:00:00Z", "targets": object{},
			"delegations": object{"keys": object{id: key.declare}, "roles": []object{{
				"name": "a", "keyids": []string{id}, "threshold": 1, "paths": []string{"*"}, "terminating": false,
			}}},
		})))
		require.NoError(t, err)
		return ds.Role("a"), ds.Role("a").Fingerprint()
	}
	role, print256 := fingerprint("x", "ecdsa-sha2-nistp256")
	_, again := fingerprint("x", "ecdsa-sha2-nistp256")
	assert.Equal(t, print256, again)
	other, print384 := fingerprint("x", "ecdsa-sha2-nistp384")
	assert.NotEqual(t, print256, print384)
	assert.True(t, role.SameKeys(other), "though it is the same key")
	renamed, _ := fingerprint("y", "ecdsa-sha2-nistp256")
	assert.True(t, role.SameKeys(renamed), "whatever it is called")
}
