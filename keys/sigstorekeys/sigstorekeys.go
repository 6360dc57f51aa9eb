// Package sigstorekeys signs with sigstore's signers, and so with the KMS clients of sigstore.
//
// Use it for ECDSA keys. With other keys sigstore's KMS clients do not sign as TUF asks:
//
//   - AWS: the algorithm is the first one that the key lists. With an RSA key that is PKCS #1 v1.5,
//     not PSS. Ed25519 is not supported.
//   - Google Cloud: Ed25519 is not supported. An address without a version means the newest version
//     of the key, which is another public key as soon as there is a new version.
//   - Azure: an RSA key signs PKCS #1 v1.5.
//   - Vault: an RSA key signs PKCS #1 v1.5. The calls do not heed their context.
//
// An ECDSA key in a KMS signs with the hash of its curve. Declare a key on P-384 with the scheme
// ecdsa-sha2-nistp384: some tools declare it with that of P-256, by which clients use SHA-256.
//
// For all other keys write a crypto.Signer that calls the service, and give it to [keys.NewSigner].
// That function decides algorithm, hash and salt by the declared scheme. It also takes private keys
// in memory, for which sigstore's signers have traps of their own:
//
//   - LoadSigner makes a signer of an RSA key that signs PKCS #1 v1.5.
//   - LoadRSAPSSSigner without options uses the largest salt, where clients expect one as long as
//     the hash.
//   - A signer of LoadRSAPSSSigner writes to its options whenever it signs. Adapt it once, and hand
//     out the same keys.Signer each time.
//   - LoadDefaultSigner goes by the curve, not by the declared scheme.
//
// No wrong signature reaches a client, since each is verified before anything is published. But the
// role cannot be signed.
package sigstorekeys

import (
	"bytes"
	"context"
	"crypto"
	"sync"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/tufonline/tufonline/keys"
)

// New returns a keys.Signer that signs with s. It passes on the context of each call, by
// options.WithContext, and may be called from many goroutines at once if s may. An RSAPSSSigner may
// not, so its calls come one after the other.
func New(s signature.Signer) keys.Signer {
	switch s.(type) {
	case *signature.RSAPSSSigner, *signature.RSAPSSSignerVerifier:
		return &serial{signer: signer{s}}
	}
	return signer{s}
}

type signer struct{ sigstore signature.Signer }

// Public implements keys.Signer.
func (s signer) Public(ctx context.Context) (crypto.PublicKey, error) {
	return s.sigstore.PublicKey(options.WithContext(ctx))
}

// Sign implements keys.Signer. Signers that hash the message read it in place; those of Ed25519
// copy it.
func (s signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.sigstore.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
}

// A serial signer signs one message at a time.
type serial struct {
	signer
	mu sync.Mutex
}

// Sign implements keys.Signer.
func (s *serial) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signer.Sign(ctx, message)
}
