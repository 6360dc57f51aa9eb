package tufmeta

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that a scheme names
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// A Key is a public key as root or a delegating role declares it (specification 4.2.2).
type Key struct {
	// ID is the declared key ID. It is the name that counts, whatever the hash of the key object
	// is.
	ID string

	KeyType string
	Scheme  string

	// Declared is the key object as JSON, with all its fields. It is a copy: code that changed it
	// would not change what is signed.
	Declared json.RawMessage

	public crypto.PublicKey
	hash   crypto.Hash // of what is signed; 0 for ed25519, which hashes by itself
	id     string      // of the public key, to count one that is declared twice once
	err    error       // why the key cannot be used; a role may have others
}

const (
	minRSABits = 2048  // specification 4.2.2
	maxRSABits = 16384 // verifying takes time that grows with the square
)

// parseKey reads a key object. A key of an unknown kind, or a malformed one, is a Key that verifies
// nothing: roles may have other keys, and a repository's root may have keys that are none of our
// business.
func parseKey(id string, object value) (*Key, error) {
	k := &Key{ID: id, Declared: escapeControls(object)}
	fields, err := object.fields("keytype", "scheme", "keyval")
	if err != nil {
		return nil, err
	}
	if _, err := fields[2].members(); err != nil {
		return nil, fmt.Errorf("keyval: %w", err)
	}
	if err := checkReadable(k.Declared); err != nil {
		return nil, err
	}
	if k.KeyType, err = fields[0].text(); err != nil {
		return nil, fmt.Errorf("keytype: %w", err)
	}
	if k.Scheme, err = fields[1].text(); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	keyval, err := fields[2].fields("public")
	if err != nil {
		return nil, err
	}
	public, err := keyval[0].text()
	if err == nil && public == "" {
		err = errMissing
	}
	if err != nil {
		return nil, fmt.Errorf("keyval.public: %w", err)
	}
	k.public, k.hash, k.err = parsePublic(k.KeyType, k.Scheme, public)
	if k.err == nil {
		k.id, k.err = publicID(k.public)
	}
	return k, nil
}

// checkReadable returns an error if clients that use encoding/json cannot read a key object, and so
// no document that has it. They take a name that differs in case for the real one.
func checkReadable(declared json.RawMessage) error {
	var key struct {
		KeyType string
		Scheme  string
		KeyVal  struct {
			Public string
		}
	}
	return json.Unmarshal(declared, &key)
}

// escapeControls returns a copy of canonical JSON that is JSON. Canonical JSON leaves control
// characters (the newlines of PEM) as they are, JSON does not.
func escapeControls(canonical value) json.RawMessage {
	out := make(json.RawMessage, 0, len(canonical))
	for _, b := range canonical {
		if b < 0x20 {
			out = fmt.Appendf(out, `\u%04x`, b)
			continue
		}
		out = append(out, b)
	}
	return out
}

func parsePublic(keytype, scheme, text string) (crypto.PublicKey, crypto.Hash, error) {
	switch {
	case keytype == "ed25519" && scheme == "ed25519":
		public, err := parseEd25519(text)
		return public, 0, err
	case keytype == "rsa" && scheme == "rsassa-pss-sha256":
		public, err := parsePKIX[*rsa.PublicKey](text)
		if err == nil && public.N.BitLen() < minRSABits {
			err = fmt.Errorf("RSA key of %d bits, fewer than %d", public.N.BitLen(), minRSABits)
		}
		if err == nil && public.N.BitLen() > maxRSABits {
			err = fmt.Errorf("RSA key of %d bits, more than %d", public.N.BitLen(), maxRSABits)
		}
		return public, crypto.SHA256, err
	case keytype == "ecdsa" || keytype == "ecdsa-sha2-nistp256" || keytype == "ecdsa-sha2-nistp384":
		public, err := parseECDSA(text)
		// The scheme decides the hash, the key its curve: go-tuf declares P-384 keys with the
		// scheme of P-256 and verifies them so.
		switch scheme {
		case "ecdsa-sha2-nistp256":
			return public, crypto.SHA256, err
		case "ecdsa-sha2-nistp384":
			return public, crypto.SHA384, err
		}
	}
	return nil, 0, fmt.Errorf("unsupported keytype %q with scheme %q", keytype, scheme)
}

func parseEd25519(text string) (crypto.PublicKey, error) {
	if public, err := parsePKIX[ed25519.PublicKey](text); err == nil {
		return public, nil
	}
	public, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("ed25519 key of %d bytes", len(public))
	}
	return ed25519.PublicKey(public), nil
}

// parseECDSA reads PEM, or the hex of an uncompressed point, which is how Sigstore's first roots
// have it.
func parseECDSA(text string) (crypto.PublicKey, error) {
	point, err := hex.DecodeString(text)
	if err != nil {
		public, err := parsePKIX[*ecdsa.PublicKey](text)
		if err == nil && public.Curve != elliptic.P256() && public.Curve != elliptic.P384() {
			err = fmt.Errorf("unsupported curve %s", public.Curve.Params().Name)
		}
		return public, err
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		if public, err := ecdsa.ParseUncompressedPublicKey(curve, point); err == nil {
			return public, nil
		}
	}
	return nil, errors.New("not a point on P-256 or P-384")
}

func parsePKIX[K crypto.PublicKey](text string) (K, error) {
	var none K
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return none, errors.New("not one PEM block")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return none, err
	}
	key, ok := public.(K)
	if !ok {
		return none, fmt.Errorf("holds a %T", public)
	}
	return key, nil
}

func publicID(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	return string(der), err
}

// Problem returns why the key can verify nothing, nil if it can.
func (k *Key) Problem() error { return k.err }

// IsPublic reports whether public is the declared public key.
func (k *Key) IsPublic(public crypto.PublicKey) bool {
	declared, ok := k.public.(interface{ Equal(crypto.PublicKey) bool }) // all kinds of the standard library have it
	return ok && k.err == nil && declared.Equal(public)
}

// maxSignature returns the length in bytes of the longest signature that the key can make.
func (k *Key) maxSignature() int {
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return ed25519.SignatureSize
	case *rsa.PublicKey:
		return public.Size()
	case *ecdsa.PublicKey: // a sequence of two integers, either with a byte for its sign
		return 2*((public.Params().BitSize+7)/8+3) + 3
	}
	return 0
}

// Verify returns nil if sig is the key's signature over message.
func (k *Key) Verify(message, sig []byte) error {
	if k.err != nil {
		return k.err
	}
	var digest []byte
	if k.hash != 0 {
		h := k.hash.New()
		h.Write(message)
		digest = h.Sum(nil)
	}
	ok := false
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(public, message, sig)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(public, digest, sig)
	case *rsa.PublicKey:
		// The salt is 32 bytes as a rule, but a signature with another is one that clients accept.
		ok = rsa.VerifyPSS(public, k.hash, digest, sig, nil) == nil
	}
	if !ok {
		return errors.New("signature is not the key's")
	}
	return nil
}
