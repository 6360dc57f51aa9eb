package keystest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/keys"
)

// A Kind is a sort of key that repositories declare.
type Kind struct {
	Name   string
	Scheme string
	make   func() (crypto.Signer, error)
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{"Ed25519", metadata.KeySchemeEd25519, func() (crypto.Signer, error) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			return private, err
		}},
		{"ECDSA P-256", metadata.KeySchemeECDSA_SHA2_P256, onCurve(elliptic.P256())},
		{"ECDSA P-384", metadata.KeySchemeECDSA_SHA2_P384, onCurve(elliptic.P384())},
		{"ECDSA P-384 declared as P-256", metadata.KeySchemeECDSA_SHA2_P256, onCurve(elliptic.P384())}, // what go-tuf does
		{"RSA", metadata.KeySchemeRSASSA_PSS_SHA256,
			func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
	}
}

func onCurve(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

// ecdsaP256 is the kind that nearly every provider can hold.
func ecdsaP256() Kind { return Kinds()[1] }

// A Key is a private key of an app, with the key object that a root declares for it.
type Key struct {
	App      string
	ID       string
	Private  crypto.Signer
	Declared *metadata.Key
}

// New makes a key of the kind for an app, under the key ID that go-tuf would give it.
func (k Kind) New(t testing.TB, app string) Key {
	t.Helper()
	private, err := k.make()
	require.NoError(t, err)
	declared, err := metadata.KeyFromPublicKey(private.Public())
	require.NoError(t, err)
	declared.Scheme = k.Scheme
	id, err := declared.ID()
	require.NoError(t, err)
	return Key{App: app, ID: id, Private: private, Declared: declared}
}

// Request is what asks for the key.
func (k Key) Request() keys.Request {
	return keys.Request{App: k.App, Role: metadata.TIMESTAMP, KeyID: k.ID, Key: k.Declared}
}

// Signer returns a signer for the key.
func (k Key) Signer(t testing.TB) signature.Signer {
	t.Helper()
	s, err := keys.NewSigner(k.Private, k.Declared.Scheme)
	require.NoError(t, err)
	return s
}

// Verify returns nil if sig is the key's signature over message by its scheme. It uses nothing but
// the standard library.
func (k Key) Verify(message, sig []byte) error {
	hash, digest := crypto.SHA256, sha256.Sum256(message)
	sum := digest[:]
	if k.Declared.Scheme == metadata.KeySchemeECDSA_SHA2_P384 {
		digest := sha512.Sum384(message)
		sum = digest[:]
	}
	switch public := k.Private.Public().(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(public, message, sig) {
			return nil
		}
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(public, sum, sig) {
			return nil
		}
	case *rsa.PublicKey:
		return rsa.VerifyPSS(public, hash, sum, sig, &rsa.PSSOptions{SaltLength: 32})
	default:
		return fmt.Errorf("unknown kind of key %T", public)
	}
	return errors.New("signature is not the key's")
}
