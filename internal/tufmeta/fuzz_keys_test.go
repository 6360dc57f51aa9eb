package tufmeta

import (
	"bytes"
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
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A keyring is the private keys of a fuzz target, whose inputs name the public ones $0, $1, …, in
// hex $0x, $1x, …
type keyring []crypto.Signer

// newKeyring has two Ed25519 keys, $0 and $1, then P-256, P-384, P-521, RSA of 2048 and of 1024
// bits.
func newKeyring(t testing.TB) keyring {
	t.Helper()
	keys := keyring{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)),
		ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		keys = append(keys, key)
	}
	for _, bits := range []int{2048, 1024} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		keys = append(keys, key)
	}
	return keys
}

// names replaces the names of public keys in JSON text by the keys, as PEM or hex.
func (keys keyring) names(t testing.TB) *strings.Replacer {
	t.Helper()
	var pairs []string
	for i, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		require.NoError(t, err)
		text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
		require.NoError(t, err)
		raw := der
		switch public := key.Public().(type) {
		case ed25519.PublicKey:
			raw = public
		case *ecdsa.PublicKey:
			raw, err = public.Bytes()
			require.NoError(t, err)
		}
		pairs = append(pairs, fmt.Sprintf("$%dx", i), hex.EncodeToString(raw), fmt.Sprintf("$%d", i),
			strings.Trim(string(text), `"`))
	}
	return strings.NewReplacer(pairs...)
}

// How a signature is made otherwise than it should be.
const (
	otherHash = 0x40 // SHA-384, or PKCS #1 with RSA
	brokenOff = 0x80 // the last bit is another one
)

// sign signs with the key that how names by its lower bits.
func (keys keyring) sign(t testing.TB, how byte, message []byte) []byte {
	t.Helper()
	var opts crypto.SignerOpts = crypto.SHA256
	digest := message
	key := keys[int(how&^(otherHash|brokenOff))%len(keys)]
	switch key.(type) {
	case ed25519.PrivateKey:
		opts = crypto.Hash(0)
	case *ecdsa.PrivateKey:
		if how&otherHash != 0 {
			opts = crypto.SHA384
		}
	case *rsa.PrivateKey:
		if how&otherHash == 0 {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
	}
	switch opts.HashFunc() {
	case crypto.SHA256:
		sum := sha256.Sum256(message)
		digest = sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(message)
		digest = sum[:]
	}
	sig, err := key.Sign(rand.Reader, digest, opts)
	require.NoError(t, err)
	if how&brokenOff != 0 {
		sig[len(sig)-1] ^= 1
	}
	return sig
}

// foreignKey is the public key that go-tuf verifies by; an error if it cannot.
func foreignKey(k *metadata.Key) (public crypto.PublicKey, err error) {
	err = guard(func() error {
		public, err = k.ToPublicKey()
		if err != nil {
			return err
		}
		if ed, ok := public.(ed25519.PublicKey); ok && len(ed) != ed25519.PublicKeySize {
			return fmt.Errorf("a key of %d bytes, by which it panics", len(ed))
		}
		hash := crypto.SHA256
		if k.Scheme == metadata.KeySchemeECDSA_SHA2_P384 {
			hash = crypto.SHA384
		}
		_, err := signature.LoadVerifier(public, hash)
		return err
	})
	return public, err
}
