package keystest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // hashes that schemes name
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
)

// A Kind is a sort of key that repositories declare.
type Kind struct {
	Name    string
	KeyType string
	Scheme  string
	make    func() (crypto.Signer, error)
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{"Ed25519", "ed25519", "ed25519", func() (crypto.Signer, error) {
			_, private, err := ed25519.GenerateKey(rand.Reader)
			return private, err
		}},
		{"ECDSA P-256", "ecdsa", "ecdsa-sha2-nistp256", onCurve(elliptic.P256())},
		{"ECDSA P-384", "ecdsa", "ecdsa-sha2-nistp384", onCurve(elliptic.P384())},
		// what go-tuf does
		{"ECDSA P-384 declared as P-256", "ecdsa", "ecdsa-sha2-nistp256", onCurve(elliptic.P384())},
		{"ECDSA P-521", "ecdsa", "ecdsa-sha2-nistp521", onCurve(elliptic.P521())},
		{"RSA", "rsa", "rsassa-pss-sha256", newRSA},
		{"RSA with SHA-384", "rsa", "rsassa-pss-sha384", newRSA},
		{"RSA with SHA-512", "rsa", "rsassa-pss-sha512", newRSA},
	}
}

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

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
	KeyType  string
	Scheme   string
	Declared json.RawMessage
}

// New makes a key of the kind for an app. Its key ID is the hash of the key object.
func (k Kind) New(t testing.TB, app string) Key {
	t.Helper()
	private, err := k.make()
	require.NoError(t, err)
	declared, err := json.Marshal(map[string]any{
		"keytype": k.KeyType, "scheme": k.Scheme, "keyval": map[string]any{"public": publicText(t, private.Public())},
	})
	require.NoError(t, err)
	id := sha256.Sum256(declared)
	return Key{App: app, ID: hex.EncodeToString(id[:]), Private: private, KeyType: k.KeyType, Scheme: k.Scheme,
		Declared: declared}
}

// publicText returns a public key as it is declared: Ed25519 in hex, the others as PEM.
func publicText(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	if ed, ok := public.(ed25519.PublicKey); ok {
		return hex.EncodeToString(ed)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Request is what asks for the key.
func (k Key) Request() keys.Request {
	return keys.Request{App: k.App, Role: "timestamp", KeyID: k.ID, KeyType: k.KeyType, Scheme: k.Scheme,
		Declared: k.Declared}
}

// Signer returns a signer for the key.
func (k Key) Signer(t testing.TB) keys.Signer {
	t.Helper()
	s, err := keys.NewSigner(k.Private, k.Scheme)
	require.NoError(t, err)
	return s
}

// Verify returns nil if sig is the key's signature over message by its scheme. It uses nothing but
// the standard library.
func (k Key) Verify(message, sig []byte) error {
	hash := crypto.SHA256
	switch k.Scheme {
	case "ecdsa-sha2-nistp384", "rsassa-pss-sha384":
		hash = crypto.SHA384
	case "ecdsa-sha2-nistp521", "rsassa-pss-sha512":
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(message)
	sum := h.Sum(nil)
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
		return rsa.VerifyPSS(public, hash, sum, sig, &rsa.PSSOptions{SaltLength: hash.Size()})
	default:
		return fmt.Errorf("unknown kind of key %T", public)
	}
	return errors.New("signature is not the key's")
}
