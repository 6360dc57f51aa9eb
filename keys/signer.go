package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that a scheme names
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

const minRSABits = 2048 // specification 4.2.2

// NewSigner returns a signer that signs as a TUF scheme asks:
//
//   - ed25519, with an Ed25519 key;
//   - ecdsa-sha2-nistp256 and ecdsa-sha2-nistp384, with an ECDSA key: the scheme decides the hash,
//     SHA-256 or SHA-384, and the key its curve, since repositories declare P-384 keys with the
//     scheme of P-256, and clients verify those with SHA-256;
//   - rsassa-pss-sha256, with an RSA key of 2048 bits or more: the salt has 32 bytes.
//
// private is an ed25519.PrivateKey, an *ecdsa.PrivateKey, an *rsa.PrivateKey, or something that
// signs like one of them, such as a hardware token's key. The error says what is wrong with the
// scheme or the key. The signer may be used from many goroutines at once if private may.
func NewSigner(private crypto.Signer, scheme string) (signature.Signer, error) {
	if private == nil {
		return nil, errors.New("no private key")
	}
	if key, ok := private.(ed25519.PrivateKey); ok && len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("ed25519 private key of %d bytes, not %d", len(key), ed25519.PrivateKeySize)
	}
	public := private.Public()
	s := &signer{private: private}
	var fits bool
	switch scheme {
	case metadata.KeySchemeEd25519:
		_, fits = public.(ed25519.PublicKey)
		s.opts = crypto.Hash(0)
	case metadata.KeySchemeECDSA_SHA2_P256:
		_, fits = public.(*ecdsa.PublicKey)
		s.opts = crypto.SHA256
	case metadata.KeySchemeECDSA_SHA2_P384:
		_, fits = public.(*ecdsa.PublicKey)
		s.opts = crypto.SHA384
	case metadata.KeySchemeRSASSA_PSS_SHA256:
		var key *rsa.PublicKey
		if key, fits = public.(*rsa.PublicKey); fits && key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA key of %d bits, fewer than %d", key.N.BitLen(), minRSABits)
		}
		s.opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	default:
		return nil, fmt.Errorf("unsupported scheme %q", scheme)
	}
	if !fits {
		return nil, fmt.Errorf("scheme %s does not go with a key of type %T", scheme, public)
	}
	return s, nil
}

// A signer is used instead of sigstore's own, of which the one for RSA-PSS writes to shared memory
// whenever it signs.
type signer struct {
	private crypto.Signer
	opts    crypto.SignerOpts // never changed
}

// PublicKey implements signature.Signer.
func (s *signer) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return s.private.Public(), nil
}

// SignMessage implements signature.Signer.
func (s *signer) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	if whole, ok := message.(*bytes.Buffer); ok && s.opts.HashFunc() == 0 { // what is signed may be large
		return s.private.Sign(rand.Reader, whole.Bytes(), s.opts)
	}
	hash := s.opts.HashFunc()
	digest, _, err := signature.ComputeDigestForSigning(message, hash, []crypto.Hash{hash}, opts...)
	if err != nil {
		return nil, err
	}
	return s.private.Sign(rand.Reader, digest, s.opts)
}
