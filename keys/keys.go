// Package keys is where signatures come from: the [Provider] interface, [Memory], and [Dir], a
// folder of private key files. [NewSigner] signs with any crypto.Signer, such as the key of a KMS
// or of a hardware token.
//
// A key belongs to one app and is never used for another. A provider is asked for a signer by the
// key ID that the repository's root, or a delegating targets role, declares. The caller checks the
// signer's public key and its signatures against that declaration. A wrong answer stops a roll but
// never reaches a client. Package keystest holds the suite that every Provider passes.
package keys

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
)

// ErrNoKey says that a provider does not have a key: nothing failed, there is none. Roles whose
// keys are all answered so are offline.
var ErrNoKey = errors.New("no such key")

// A Request names a key.
type Request struct {
	App   string // path of plain segments, as in "acme/desktop"
	Role  string // the role that is about to be signed
	KeyID string // as declared, which need not be the hash of the key object

	// KeyType and Scheme say how the key is to sign, as in "rsa" and "rsassa-pss-sha256"
	// (specification 4.2.2). Nearly all providers need nothing but the scheme.
	KeyType string
	Scheme  string

	// Declared is the key object as root or the delegating role declares it, as JSON. It has all
	// fields, those included that no library models, such as the address of a key in a KMS. It is
	// shared: do not change it.
	//
	// The holders of root's keys choose such an address, or the holders of a delegating role's
	// keys. A provider that follows it lends them the program's credentials.
	Declared json.RawMessage
}

// A Provider hands out signers. It may be called from many goroutines at once, and so may the
// signers that it returns.
type Provider interface {
	// Signer returns the signer for a key. The error wraps ErrNoKey if the provider has no such key
	// for that app; any other error means that it could not tell. Errors name the key but never
	// hold private material. ctx covers this call, not the signer.
	Signer(ctx context.Context, req Request) (Signer, error)
}

// A Signer signs for one key. It may be called from many goroutines at once.
//
// Each call should return once its ctx has ended. A call that does not is left behind.
type Signer interface {
	// Public returns the public key: an ed25519.PublicKey, an *ecdsa.PublicKey or an
	// *rsa.PublicKey. It is asked for before each signature.
	Public(ctx context.Context) (crypto.PublicKey, error)

	// Sign returns the signature over message by the key's declared scheme: 64 bytes of Ed25519,
	// ASN.1 DER of ECDSA, or RSA-PSS with a salt as long as the hash. message is all that is
	// signed, not its digest, and may have many megabytes. Sign neither changes it, nor keeps it
	// when it has returned.
	Sign(ctx context.Context, message []byte) (signature []byte, err error)
}

// As returns the first provider in p's chain that is a T, and whether there is one. The chain is p
// and what its method Unwrap() Provider returns, again and again. A wrapper that has this method
// does not hide what the provider within can do.
func As[T any](p Provider) (T, bool) {
	for p != nil {
		if found, ok := p.(T); ok {
			return found, true
		}
		wrapper, ok := p.(interface{ Unwrap() Provider })
		if !ok {
			break
		}
		p = wrapper.Unwrap()
	}
	var none T
	return none, false
}
