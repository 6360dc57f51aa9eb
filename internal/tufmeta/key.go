package tufmeta

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // hashes that schemes name
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Key is a public key as root or a delegating role declares it (specification 4.2.2). A role may
// also name one that nobody declares.
type Key struct {
	// ID is the declared key ID. It is the name that counts, whatever the hash of the key object
	// is.
	ID string

	KeyType string
	Scheme  string

	// Declared is the key object as JSON, with all its fields. It is a copy: code that changed it
	// would not change what is signed.
	Declared json.RawMessage

	public   crypto.PublicKey
	hash     crypto.Hash // of what is signed; 0 for ed25519, which hashes by itself
	pkcs1v15 bool        // how RSA pads; PSS otherwise
	digest   string      // see Digest
	err      error       // see Problem
}

const (
	minRSABits = 2048  // specification 4.2.2
	maxRSABits = 16384 // verifying takes time that grows with the square
)

// parseKey reads a key object. One that makes no sense, or of a kind that is not known here, is a
// Key that verifies nothing: roles may have other keys, and not all keys of a document are those of
// a role that matters.
func parseKey(id string, object value) *Key {
	k := &Key{ID: id, Declared: escapeControls(nil, object)}
	if k.err = k.parse(object); k.err != nil {
		k.digest = ""
	}
	return k
}

func (k *Key) parse(object value) error {
	if strings.ContainsFunc(k.ID, unicode.IsControl) {
		return fmt.Errorf("key ID %q holds a control character", k.ID)
	}
	fields, err := object.fields("keytype", "scheme", "keyval")
	if err != nil {
		return err
	}
	if k.KeyType, err = fields[0].text(); err != nil {
		return fmt.Errorf("keytype: %w", err)
	}
	if k.Scheme, err = fields[1].text(); err != nil {
		return fmt.Errorf("scheme: %w", err)
	}
	keyval, err := fields[2].fields("public")
	if err != nil {
		return fmt.Errorf("keyval: %w", err)
	}
	parse := k.parser()
	if parse == nil {
		return fmt.Errorf("unsupported keytype %q with scheme %q", k.KeyType, k.Scheme)
	}
	public, err := keyval[0].text()
	if err != nil {
		return fmt.Errorf("keyval.public: %w", err)
	}
	if k.public, err = parse(public); err != nil {
		return fmt.Errorf("keyval.public: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.public)
	sum := sha256.Sum256(der)
	k.digest = hex.EncodeToString(sum[:])
	return err
}

// parser sets what the key type and the scheme say, and returns what reads such a key. It returns
// nil if the two are not known, or do not go together.
func (k *Key) parser() func(text string) (crypto.PublicKey, error) {
	switch k.KeyType {
	case "ed25519":
		if k.Scheme == "ed25519" {
			return parseEd25519
		}
	case "rsa":
		padding, size, _ := strings.Cut(k.Scheme, "-sha")
		k.pkcs1v15 = padding == "rsa-pkcs1v15"
		k.hash = map[string]crypto.Hash{
			"224": crypto.SHA224, "256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512,
		}[size]
		if k.hash != 0 && (k.pkcs1v15 || padding == "rsassa-pss") {
			return parseRSA
		}
	case "ecdsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		// The scheme decides the hash, the key its curve: go-tuf declares P-384 keys with the
		// scheme of P-256 and verifies them so.
		k.hash = map[string]crypto.Hash{
			"ecdsa-sha2-nistp256": crypto.SHA256, "ecdsa-sha2-nistp384": crypto.SHA384, "ecdsa-sha2-nistp521": crypto.SHA512,
		}[k.Scheme]
		if k.hash != 0 {
			return parseECDSA
		}
	}
	return nil
}

// escapeControls appends canonical JSON to out as JSON. Canonical JSON leaves control characters
// (the newlines of PEM) as they are, JSON does not.
func escapeControls(out []byte, canonical value) []byte {
	for _, b := range canonical {
		if b < 0x20 {
			out = fmt.Appendf(out, `\u%04x`, b)
			continue
		}
		out = append(out, b)
	}
	return out
}

func parseRSA(text string) (crypto.PublicKey, error) {
	public, err := parsePKIX[*rsa.PublicKey](text)
	if err != nil {
		return nil, err
	}
	if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("RSA key of %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	}
	return public, nil
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
	curves := []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}
	point, err := hex.DecodeString(text)
	if err != nil {
		public, err := parsePKIX[*ecdsa.PublicKey](text)
		if err == nil && !slices.Contains(curves, public.Curve) {
			err = fmt.Errorf("unsupported curve %s", public.Curve.Params().Name)
		}
		return public, err
	}
	for _, curve := range curves {
		if public, err := ecdsa.ParseUncompressedPublicKey(curve, point); err == nil {
			return public, nil
		}
	}
	return nil, errors.New("not a point on P-256, P-384 or P-521")
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

// Problem returns why the key can verify nothing, nil if it can.
func (k *Key) Problem() error { return k.err }

// Digest returns the SHA-256 of the public key's PKIX form in hex, "" for a key with a Problem. It
// is the same for the same public key, whatever its ID or scheme.
func (k *Key) Digest() string { return k.digest }

// IsPublic reports whether public is the declared public key.
func (k *Key) IsPublic(public crypto.PublicKey) bool {
	declared, ok := k.public.(interface{ Equal(crypto.PublicKey) bool }) // all kinds of the standard library have it
	return ok && k.err == nil && declared.Equal(public)
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
		if k.pkcs1v15 {
			ok = rsa.VerifyPKCS1v15(public, k.hash, digest, sig) == nil
			break
		}
		// The salt is 32 bytes as a rule, but a signature with another is one that clients accept.
		ok = rsa.VerifyPSS(public, k.hash, digest, sig, nil) == nil
	}
	if !ok {
		return errors.New("signature is not the key's")
	}
	return nil
}
