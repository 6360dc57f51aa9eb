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
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

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
		if scheme == "ecdsa-sha2-nistp384" {
			sum := sha512.Sum384(message)
			digest = sum[:]
		}
		sig, err := ecdsa.SignASN1(rand.Reader, private, digest)
		require.NoError(t, err)
		return sig
	}}
}

func rsaKey(t testing.TB, bits, salt int) testKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return testKey{"rsa", declare("rsa", "rsassa-pss-sha256", pkix(t, &private.PublicKey)), func(message []byte) []byte {
		sum := sha256.Sum256(message)
		if salt < 0 {
			sig, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
			require.NoError(t, err)
			return sig
		}
		sig, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
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
		"RSA, salt of 32 bytes":         rsaKey(t, 2048, 32),
		"RSA, salt as long as possible": rsaKey(t, 2048, rsa.PSSSaltLengthAuto),
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
		"RSA of 1024 bits": rsaKey(t, 1024, 32),
		"RSA by PKCS #1":   rsaKey(t, 2048, -1),
		"unknown keytype":  {"odd", declare("quantum", "ed25519", "00"), good.sign},
		"unknown scheme":   {"odd", declare("ed25519", "ed448", "00"), good.sign},
		"short ed25519":    {"odd", declare("ed25519", "ed25519", "00ff"), good.sign},
		"no hex":           {"odd", declare("ed25519", "ed25519", "zz"), good.sign},
		"RSA of 16392 bits": {"odd", declare("rsa", "rsassa-pss-sha256", pkix(t, &rsa.PublicKey{
			N: new(big.Int).SetBit(big.NewInt(1), 16391, 1), E: 65537,
		})), good.sign},
		"not on the curve": {"odd", declare("ecdsa", "ecdsa-sha2-nistp256", "04"+strings.Repeat("11", 64)), good.sign},
		"P-521": {"odd", func() object {
			private, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
			require.NoError(t, err)
			return declare("ecdsa", "ecdsa-sha2-nistp256", pkix(t, &private.PublicKey))
		}(), good.sign},
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
		`signed.roles.root: keyids: "b" is not among`: change(good, "roles",
			object{"root": object{"threshold": 1, "keyids": []string{"b"}}}),
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

// TUF checklist 9 and 18.
func TestDelegations(t *testing.T) {
	key := edKey(t, "a")
	parseDelegations := func(roles any, succinct any) (*tufmeta.Delegations, error) {
		delegations := object{"keys": object{"a": key.declare}}
		if roles != nil {
			delegations["roles"] = roles
		}
		if succinct != nil {
			delegations["succinct_roles"] = succinct
		}
		return tufmeta.ParseDelegations(parse(t, signed(t, object{
			"_type": "targets", "spec_version": "1.0", "version": 1, "expires": "2040-01-01T00:00:00Z", "targets": object{},
			"delegations": delegations,
		}, key)))
	}
	role := func(name string) object {
		return object{"name": name, "keyids": []string{"a"}, "threshold": 1, "paths": []string{"*"}, "terminating": false}
	}
	ds, err := parseDelegations([]object{role("b"), role("a/c"), role("a b")}, nil)
	require.NoError(t, err)
	var names []string
	for r := range ds.All() {
		names = append(names, r.Name)
	}
	assert.Equal(t, []string{"b", "a/c", "a b"}, names, "the order is the priority")

	for _, name := range []string{"", ".", "..", "../x", "a/../b", "a//b", "/a", "a/", "a\\b", "a\nb", "root", "targets",
		"snapshot", "timestamp"} {
		_, err := parseDelegations([]object{role(name)}, nil)
		assert.Error(t, err, "%q", name)
	}
	_, err = parseDelegations([]object{role("a"), role("a")}, nil)
	require.ErrorContains(t, err, "twice")
	_, err = tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, testKey{"a\x01", key.declare, key.sign}), key)))
	require.ErrorContains(t, err, "control character")

	for _, bits := range []int{1, 4, 5, 8, 9, 32} {
		ds, err := parseDelegations(nil, object{"keyids": []string{"a"}, "threshold": 1, "bit_length": bits,
			"name_prefix": "bin"})
		require.NoError(t, err)
		last := fmt.Sprintf("bin-%x", uint64(1)<<bits-1)
		require.NotNil(t, ds.Role(last), last)
		assert.True(t, ds.IsBin(last))
		assert.Nil(t, ds.Role(fmt.Sprintf("bin-%x", uint64(1)<<bits)), "one too many")
		assert.Nil(t, ds.Role(strings.ToUpper(last)))
		assert.Nil(t, ds.Role("bin"))
		assert.Equal(t, uint64(1)<<bits, ds.Len())
	}
	for _, bits := range []int{0, -1, 33} {
		_, err := parseDelegations(nil, object{"keyids": []string{"a"}, "threshold": 1, "bit_length": bits,
			"name_prefix": "bin"})
		require.ErrorContains(t, err, "bit_length")
	}
	_, err = parseDelegations([]object{role("a")},
		object{"keyids": []string{"a"}, "threshold": 1, "bit_length": 4, "name_prefix": "bin"})
	require.ErrorContains(t, err, "both")
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
	assert.True(t, role.Shares(other), "though it is the same key")
	renamed, _ := fingerprint("y", "ecdsa-sha2-nistp256")
	assert.True(t, role.Shares(renamed), "whatever it is called")
}

func TestTheExpiryPeriodOfTufOnCI(t *testing.T) {
	key := edKey(t, "a")
	for value, want := range map[any]time.Duration{7: 7 * 24 * time.Hour, 0: 0, -1: 0, "7": 0, 1 << 40: 0, nil: 0} {
		body := rootOf(1, 1, key)
		body["x-tuf-on-ci-expiry-period"] = value
		assert.Equal(t, want, parse(t, signed(t, body, key)).ExpiryPeriod(), "%v", value)
	}
}
