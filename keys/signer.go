package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that a scheme names
	_ "crypto/sha512"
	"errors"
	"fmt"
)

// The schemes by which clients verify, as securesystemslib spells them. The specification (4.2.2)
// leaves out all but the first, the second and that of RSA-PSS with SHA-256. Clients of go-tuf know
// none of the others but that of P-384.
const (
	schemeEd25519   = "ed25519"
	schemeECDSAP256 = "ecdsa-sha2-nistp256"
	schemeECDSAP384 = "ecdsa-sha2-nistp384"
	schemeECDSAP521 = "ecdsa-sha2-nistp521"
	schemePSSSHA256 = "rsassa-pss-sha256"
	schemePSSSHA384 = "rsassa-pss-sha384"
	schemePSSSHA512 = "rsassa-pss-sha512"
)

const minRSABits = 2048 // specification 4.2.2

// NewSigner returns a signer that signs as a TUF scheme asks:
//
//   - ed25519, with an Ed25519 key;
//   - ecdsa-sha2-nistp256, -nistp384 and -nistp521, with an ECDSA key: the scheme decides the hash,
//     SHA-256, SHA-384 or SHA-512, and the key its curve, since repositories declare P-384 keys
//     with the scheme of P-256, and clients verify those with SHA-256;
//   - rsassa-pss-sha256, -sha384 and -sha512, with an RSA key of 2048 bits or more: the salt is as
//     long as the hash.
//
// It does not sign by PKCS #1 v1.5, whose schemes are only verified. Clients of go-tuf verify RSA
// by rsassa-pss-sha256 alone.
//
// private is an ed25519.PrivateKey, an *ecdsa.PrivateKey, an *rsa.PrivateKey, or something that
// signs like one of them, such as the key of a hardware token or a KMS. The error says what is
// wrong with the scheme or the key. The signer may be used from many goroutines at once if private
// may. It does not heed contexts, since a crypto.Signer takes none.
func NewSigner(private crypto.Signer, scheme string) (Signer, error) {
	if private == nil {
		return nil, errors.New("no private key")
	}
	if key, ok := private.(ed25519.PrivateKey); ok && len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("ed25519 private key of %d bytes, not %d", len(key), ed25519.PrivateKeySize)
	}
	public := private.Public()
	s := &signer{private: private}
	var fits bool
	switch hash := hashOf(scheme); scheme {
	case schemeEd25519:
		_, fits = public.(ed25519.PublicKey)
		s.opts = hash
	case schemeECDSAP256, schemeECDSAP384, schemeECDSAP521:
		_, fits = public.(*ecdsa.PublicKey)
		s.opts = hash
	case schemePSSSHA256, schemePSSSHA384, schemePSSSHA512:
		var key *rsa.PublicKey
		if key, fits = public.(*rsa.PublicKey); fits && key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA key of %d bits, fewer than %d", key.N.BitLen(), minRSABits)
		}
		s.opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	default:
		return nil, fmt.Errorf("unsupported scheme %q", scheme)
	}
	if !fits {
		return nil, fmt.Errorf("scheme %s does not go with a key of type %T", scheme, public)
	}
	return s, nil
}

// hashOf returns the hash that a scheme signs, 0 for Ed25519, which hashes by itself.
func hashOf(scheme string) crypto.Hash {
	switch scheme {
	case schemeECDSAP256, schemePSSSHA256:
		return crypto.SHA256
	case schemeECDSAP384, schemePSSSHA384:
		return crypto.SHA384
	case schemeECDSAP521, schemePSSSHA512:
		return crypto.SHA512
	}
	return 0
}

type signer struct {
	private crypto.Signer
	opts    crypto.SignerOpts // never changed
}

// Public implements Signer.
func (s *signer) Public(context.Context) (crypto.PublicKey, error) { return s.private.Public(), nil }

// Sign implements Signer.
func (s *signer) Sign(_ context.Context, message []byte) ([]byte, error) {
	if hash := s.opts.HashFunc(); hash != 0 {
		h := hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	return s.private.Sign(rand.Reader, message, s.opts)
}
