// Package keys is where signatures come from: the [Provider] interface, [Memory], and [Dir], a
// folder of private key files.
//
// A key belongs to one app and is never used for another. A provider is asked for a signer by the
// key ID that the repository's root, or a delegating targets role, declares; whoever asks checks
// the signer's public key and its signatures against that declaration, so a wrong answer stops a
// roll but never reaches a client. Package keystest holds the suite that every Provider passes.
package keys

import (
	"context"
	"errors"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ErrNoKey says that a provider does not have a key: nothing failed, there is none. Roles whose
// keys are all answered so are offline.
var ErrNoKey = errors.New("no such key")

// A Request names a key.
type Request struct {
	App   string // path of plain segments, as in "acme/desktop"
	Role  string // the role that is about to be signed
	KeyID string // as declared, which need not be the hash of Key

	// Key is the key object as root or the delegating role declares it, with the fields that no
	// library models (such as a KMS address) in its UnrecognizedFields. It is shared: do not change
	// it. For nearly all providers Scheme is all that matters.
	Key *metadata.Key
}

// A Provider hands out signers. It may be called from many goroutines at once, and so may the
// signers that it returns.
type Provider interface {
	// Signer returns the signer for a key. The error wraps ErrNoKey if the provider has no such key
	// for that app; any other error means that it could not tell. Errors name the key but never
	// hold private material. ctx covers this call, not the signer.
	Signer(ctx context.Context, req Request) (signature.Signer, error)
}
