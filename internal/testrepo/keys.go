package testrepo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/keys"
)

// A Key is a private key with the key object that go-tuf declares for its public half.
type Key struct {
	ID      string
	Private crypto.Signer
	Public  *metadata.Key
}

// The kinds of keys.
const (
	Ed25519 = "ed25519"
	ECDSA   = "ecdsa"
	RSA     = "rsa"
)

// NewKey makes a key of a kind: Ed25519, ECDSA (P-256) or RSA (2048 bits).
func NewKey(t testing.TB, kind string) *Key {
	t.Helper()
	k := &Key{}
	var err error
	switch kind {
	case Ed25519:
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	case ECDSA:
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA:
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		t.Fatalf("unknown kind of key %q", kind)
	}
	require.NoError(t, err)
	k.Public, err = metadata.KeyFromPublicKey(k.Private.Public())
	require.NoError(t, err)
	k.ID, err = k.Public.ID() // go-tuf remembers it, so fields that are added later do not change it
	require.NoError(t, err)
	return k
}

// Signer returns a signer as a keys.Provider hands it out.
func (k *Key) Signer(t testing.TB) keys.Signer {
	t.Helper()
	s, err := keys.NewSigner(k.Private, k.Public.Scheme)
	require.NoError(t, err)
	return s
}

// Sigstore returns a signer as go-tuf wants it. It is for one goroutine at a time.
func (k *Key) Sigstore(t testing.TB) signature.Signer {
	t.Helper()
	if private, ok := k.Private.(*rsa.PrivateKey); ok {
		s, err := signature.LoadRSAPSSSigner(private, crypto.SHA256, &rsa.PSSOptions{SaltLength: 32})
		require.NoError(t, err)
		return s
	}
	s, err := signature.LoadSigner(k.Private, crypto.SHA256)
	require.NoError(t, err)
	return s
}
