package tufmeta

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// onlyWeVerify says why go-tuf cannot verify by a key that we verify by; "" if it has no reason to.
func onlyWeVerify(k *metadata.Key) string {
	isPEM := strings.Contains(k.Value.PublicKey, "-----BEGIN")
	switch {
	case k.Type == "ecdsa-sha2-nistp384" || k.Type == "ecdsa-sha2-nistp521":
		return "a keytype that securesystemslib knows"
	case strings.HasPrefix(k.Type, "ecdsa") && !isPEM:
		return "a point in hex, as Sigstore's first roots have it"
	case k.Type == "ed25519" && isPEM:
		return "Ed25519 in PEM"
	}
	return ""
}

// onlyTheyVerify says why we do not verify by a key that go-tuf verifies by; "" if we have no
// reason not to.
func onlyTheyVerify(k *metadata.Key, public any) string {
	ecdsa := []string{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}
	schemes := map[string][]string{"ed25519": {"ed25519"}, "ecdsa": ecdsa, "ecdsa-sha2-nistp256": ecdsa}
	for _, size := range []string{"224", "256", "384", "512"} {
		schemes["rsa"] = append(schemes["rsa"], "rsassa-pss-sha"+size, "rsa-pkcs1v15-sha"+size)
	}
	if !slices.Contains(schemes[k.Type], k.Scheme) {
		return "the scheme is not one of the keytype's: go-tuf goes by the keytype, other clients refuse the key"
	}
	if public, ok := public.(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
		return "the RSA key is too short"
	}
	block, rest := pem.Decode([]byte(k.Value.PublicKey))
	switch {
	case block == nil:
		return ""
	case len(bytes.TrimSpace(rest)) > 0:
		return "there is something after the PEM block"
	case block.Type == "RSA PUBLIC KEY":
		return "PKCS #1, where the specification has PKIX (4.2)"
	}
	return ""
}

// verifiedOtherwise says why go-tuf verifies other signatures by a key than we do; "" if it has no
// reason to.
func verifiedOtherwise(k *Key) string {
	switch {
	case k.KeyType == "rsa" && k.Scheme != "rsassa-pss-sha256":
		return "go-tuf verifies all RSA signatures by PSS with SHA-256"
	case k.Scheme == "ecdsa-sha2-nistp521":
		return "go-tuf does not know the scheme, and takes SHA-256"
	}
	return ""
}

// foreignOf is a key object as go-tuf reads it.
func foreignOf(t *testing.T, k *Key) *metadata.Key {
	t.Helper()
	theirs := new(metadata.Key)
	require.NoError(t, json.Unmarshal(k.Declared, theirs))
	return theirs
}

// requireSameValue requires that two texts are JSON of the same value, whatever its layout.
func requireSameValue(t *testing.T, want, got []byte) {
	t.Helper()
	require.True(t, json.Valid(got), "%q", got)
	require.Equal(t, decode(want), decode(got))
}

// Key objects mean the same key here and to go-tuf, but for differences that have a reason.
func FuzzKey(f *testing.F) {
	keys := newKeyring(f)
	names := keys.names(f)
	for _, data := range fixtures(f) {
		var file struct {
			Signed struct{ Keys map[string]json.RawMessage }
		}
		require.NoError(f, json.Unmarshal(data, &file))
		for _, key := range file.Signed.Keys {
			f.Add([]byte(key))
		}
	}
	for _, seed := range []string{
		`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"$0x"}}`,
		`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"$1"},"x-tuf-on-ci-keyowner":"@somebody","x":[1,null]}`,
		`{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$2"}}`,
		`{"keytype":"ecdsa-sha2-nistp256","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$2x"}}`,
		`{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp384","keyval":{"public":"$3"}}`,
		`{"keytype":"ecdsa-sha2-nistp384","scheme":"ecdsa-sha2-nistp384","keyval":{"public":"$3x"}}`,
		`{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$4"}}`,
		`{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"$5"}}`,
		`{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"$6\n"}}`,
		`{"keytype":"rsa","scheme":"rsa-pkcs1v15-sha256","keyval":{"public":"$5"}}`,
		`{"keytype":"rsa","scheme":"rsassa-pss-sha512","keyval":{"public":"$5"}}`,
		`{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp521","keyval":{"public":"$4"}}`,
		`{"keytype":"rsa","scheme":"rsa-pkcs1v15-sha1","keyval":{"public":"$5"}}`, `{"keytype":1,"scheme":[],"keyval":null}`,
		`{"keytype":"ed25519","scheme":"ed25519","Scheme":"other","keyval":{"public":"$0x","Public":""}}`,
		`{"keytype":"ed25519","scheme":"ed25519","\u017fcheme":"other","keyval":{"public":"$0x"}}`, // a long s
		`{"keytype":"ed25519","scheme":"ed25519","SCHEME":1,"keyval":{"public":"$0x"}}`,
		`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"$0x","Public":[]}}`,
		`{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"$2"},"x-tuf-on-ci-online-uri":"gcpkms:a\tb\u0001\u007f","x\n":1}`,
		`{"scheme":"ed25519","keyval":{"public":"$0x"}}`,
		`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}`,
		`{"keytype":"sigstore-oidc","scheme":"Fulcio","keyval":{"identity":"a","issuer":"b"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := []byte(names.Replace(string(data)))
		c, err := canonicalize(text, levelObject)
		if err != nil {
			return // FuzzCanonical compares these
		}
		theirs := new(metadata.Key)
		theirErr := json.Unmarshal(text, theirs)
		k := parseKey("a", c.out)
		requireSameValue(t, text, k.Declared)
		require.Equal(t, k.err == nil, len(k.Digest()) == 64)
		if hasOddCase(text) {
			return
		}
		if theirErr != nil {
			require.Error(t, k.Problem(), "go-tuf does not read it: %v", theirErr)
			return
		}
		if k.err == nil {
			require.Equal(t, theirs.Type, k.KeyType)
			require.Equal(t, theirs.Scheme, k.Scheme)
		}
		require.Equal(t, theirs, foreignOf(t, k))
		public, theirErr := foreignKey(theirs)
		switch {
		case k.err != nil && theirErr != nil:
		case k.err != nil:
			require.NotEmpty(t, onlyTheyVerify(theirs, public), "only go-tuf verifies by it, we say: %v", k.err)
		case theirErr != nil:
			require.NotEmpty(t, onlyWeVerify(theirs), "only we verify by it, go-tuf says: %v", theirErr)
		default:
			require.Equal(t, public, k.public)
			require.True(t, k.IsPublic(public))
			require.Empty(t, onlyTheyVerify(theirs, public))
		}
	})
}
