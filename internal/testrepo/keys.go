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

// A Key is a private key, and the key object of its public half as go-tuf declares it.
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
	k.ID, err = k.Public.ID() // go-tuf keeps it, so fields that are added later do not change it
	require.NoError(t, err)
	return k
}

// Signer returns the signer that a keys.Provider hands out.
func (k *Key) Signer(t testing.TB) keys.Signer {
	t.Helper()
	s, err := keys.NewSigner(k.Private, k.Public.Scheme)
	require.NoError(t, err)
	return s
}

// Sigstore returns a signer for go-tuf. It is for one goroutine at a time.
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
