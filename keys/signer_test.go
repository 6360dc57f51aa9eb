package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
)

func TestAKeyAndASchemeThatDoNotGoTogetherAreRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)

	for _, c := range []struct {
		name    string
		private crypto.Signer
		scheme  string
		want    string
	}{
		{"Ed25519 as ECDSA", ed, "ecdsa-sha2-nistp256",
			"scheme ecdsa-sha2-nistp256 does not go with a key of type ed25519.PublicKey"},
		{"Ed25519 as RSA", ed, "rsassa-pss-sha256",
			"scheme rsassa-pss-sha256 does not go with a key of type ed25519.PublicKey"},
		{"RSA by PKCS #1 v1.5, which is only verified", rsa2048, "rsa-pkcs1v15-sha512",
			`unsupported scheme "rsa-pkcs1v15-sha512"`},
		{"a short RSA key with SHA-512", rsa1024, "rsassa-pss-sha512", "RSA key of 1024 bits, fewer than 2048"},
		{"ECDSA as Ed25519", ec, "ed25519", "scheme ed25519 does not go with a key of type *ecdsa.PublicKey"},
		{"ECDSA as RSA", ec, "rsassa-pss-sha256", "scheme rsassa-pss-sha256 does not go with a key of type *ecdsa.PublicKey"},
		{"RSA as Ed25519", rsa2048, "ed25519", "scheme ed25519 does not go with a key of type *rsa.PublicKey"},
		{"RSA as ECDSA", rsa2048, "ecdsa-sha2-nistp384",
			"scheme ecdsa-sha2-nistp384 does not go with a key of type *rsa.PublicKey"},
		{"a short RSA key", rsa1024, "rsassa-pss-sha256", "RSA key of 1024 bits, fewer than 2048"},
		{"a scheme that nobody knows", rsa2048, "rsassa-pss-sha1", `unsupported scheme "rsassa-pss-sha1"`},
		{"no scheme", ed, "", `unsupported scheme ""`},
		{"half a key", ed[:32], "ed25519", "ed25519 private key of 32 bytes, not 64"},
		{"no key", nil, "ed25519", "no private key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := keys.NewSigner(c.private, c.scheme)
			require.EqualError(t, err, c.want)
			assert.Nil(t, s)
		})
	}
}

// A token is a crypto.Signer that remembers what it was given to sign.
type token struct {
	crypto.Signer
	signed []byte
}

func (k *token) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.signed = digest
	return k.Signer.Sign(rand, digest, opts)
}

// What is signed may have many megabytes.
func TestAnEd25519KeySignsTheMessageInPlace(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	k := &token{Signer: private}
	s, err := keys.NewSigner(k, "ed25519")
	require.NoError(t, err)
	message := []byte("timestamp")
	_, err = s.Sign(t.Context(), message)
	require.NoError(t, err)
	assert.Same(t, &message[0], &k.signed[0])
}
