package keys

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
)

// Why a key file cannot be used. What the parsers below say is left out on purpose: it may quote
// the file.
var (
	errFormat = errors.New("not a private key in PKCS #8, PKCS #1 or SEC 1 PEM, " +
		"nor an Ed25519 seed as 32 bytes or in hex")
	errMalformed = errors.New("malformed private key")
	errEncrypted = errors.New("private key is encrypted with a passphrase, which is not supported")
	errPublic    = errors.New("holds a public key or a certificate, not a private key")
	errOpenSSH   = errors.New("private key is in OpenSSH's format, which is not supported: convert it to PKCS #8")
	errSeveral   = errors.New("holds more than one PEM block")
	errKind      = errors.New("private key is neither Ed25519, ECDSA nor RSA")
)

// parsePrivate reads a private key in any of the formats of [Dir]. Its errors are those above, as
// they are.
func parsePrivate(data []byte) (crypto.Signer, error) {
	if len(data) == ed25519.SeedSize {
		return ed25519.NewKeyFromSeed(data), nil
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(line) == hex.EncodedLen(ed25519.SeedSize) {
		seed := make([]byte, ed25519.SeedSize)
		if _, err := hex.Decode(seed, line); err != nil {
			return nil, errFormat
		}
		return ed25519.NewKeyFromSeed(seed), nil
	}
	block, rest := pem.Decode(data)
	if block != nil && block.Type == "EC PARAMETERS" { // what openssl ecparam puts before the key; the key says it again
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errFormat
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errSeveral
	}
	return parseBlock(block)
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	if strings.HasPrefix(block.Type, "ENCRYPTED ") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errEncrypted
	}
	var key crypto.PrivateKey
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return nil, errPublic
	case "OPENSSH PRIVATE KEY":
		return nil, errOpenSSH
	default:
		return nil, errFormat
	}
	if err != nil {
		return nil, errMalformed
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, errKind
	}
	return private, nil
}
