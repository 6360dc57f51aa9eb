package newrepo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The types of keys: Ed25519, ECDSA on P-256, RSA with 3072 bits.
const (
	Ed25519 = "ed25519"
	ECDSA   = "ecdsa"
	RSA     = "rsa"
)

const rsaBits = 3072

type key struct {
	id      string
	private crypto.Signer
	public  *metadata.Key
}

func newKey(keyType string) (*key, error) {
	var private crypto.Signer
	var err error
	switch keyType {
	case Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ECDSA:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		err = fmt.Errorf("unknown type %q: it is one of %s, %s, %s", keyType, Ed25519, ECDSA, RSA)
	}
	if err != nil {
		return nil, err
	}
	public, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	id, err := public.ID()
	if err != nil {
		return nil, err
	}
	return &key{id, private, public}, nil
}

// signer returns a signer for go-tuf.
func (k *key) signer() (signature.Signer, error) {
	if private, ok := k.private.(*rsa.PrivateKey); ok {
		return signature.LoadRSAPSSSigner(private, crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return signature.LoadSigner(k.private, crypto.SHA256)
}

// writeKeys writes each private key to a file that only its owner can read.
func (m *maker) writeKeys() error {
	online := filepath.Join(m.KeyDir, filepath.FromSlash(m.App))
	for role, all := range m.keys {
		dir := online
		if role == metadata.ROOT || role == metadata.TARGETS && m.TargetsOffline {
			dir = m.RootKeyDir
		}
		for _, k := range all {
			if err := k.write(dir); err != nil {
				return fmt.Errorf("key for %s: %w", role, err)
			}
		}
	}
	return nil
}

// write writes the key to dir as PKCS #8, under its ID.
func (k *key) write(dir string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, k.id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", filepath.Join(dir, k.id), ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return errors.Join(err, f.Sync(), f.Close())
}
