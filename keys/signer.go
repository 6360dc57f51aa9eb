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

// The schemes by which clients verify (specification 4.2.2). The specification leaves out P-384,
// which clients verify all the same.
const (
	schemeEd25519   = "ed25519"
	schemeECDSAP256 = "ecdsa-sha2-nistp256"
	schemeECDSAP384 = "ecdsa-sha2-nistp384"
	schemeRSAPSS    = "rsassa-pss-sha256"
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
	switch scheme {
	case schemeEd25519:
		_, fits = public.(ed25519.PublicKey)
		s.opts = crypto.Hash(0)
	case schemeECDSAP256:
		_, fits = public.(*ecdsa.PublicKey)
		s.opts = crypto.SHA256
	case schemeECDSAP384:
		_, fits = public.(*ecdsa.PublicKey)
		s.opts = crypto.SHA384
	case schemeRSAPSS:
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

type signer struct {
	private crypto.Signer
	opts    crypto.SignerOpts // never changed
}

// Public implements Signer.
func (s *signer) Public(context.Context) (crypto.PublicKey, error) { return s.private.Public(), nil }

// Sign implements Signer.
func (s *signer) Sign(_ context.Context, message []byte) ([]byte, error) {
	if hash := s.opts.HashFunc(); hash != 0 { // Ed25519 hashes by itself
		h := hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	return s.private.Sign(rand.Reader, message, s.opts)
}
