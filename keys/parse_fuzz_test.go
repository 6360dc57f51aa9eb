package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
)

// Whatever a file holds, it is one of the errors that quote nothing, or a key that can be written
// again and that signs as schemes ask, so that its own public key verifies.
func FuzzParsePrivate(f *testing.F) {
	for _, sample := range samples(f) {
		f.Add(sample.data)
		f.Add(sample.data[:len(sample.data)-1])
	}
	refusals := []error{errFormat, errMalformed, errEncrypted, errPublic, errOpenSSH, errSeveral, errKind}
	f.Fuzz(func(t *testing.T, data []byte) {
		private, err := parsePrivate(data)
		if err != nil {
			require.Contains(t, refusals, err)
			require.Nil(t, private)
			return
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		require.NoError(t, err, "it is a key that can be written")
		again, err := parsePrivate(block("PRIVATE KEY", der))
		require.NoError(t, err)
		require.Equal(t, private.Public(), again.Public())
		for _, scheme := range schemesOf(private) {
			requireSigns(t, private, scheme)
		}
	})
}

// schemesOf returns the schemes that a key is good for, going by its public key alone.
func schemesOf(private crypto.Signer) []string {
	switch public := private.Public().(type) {
	case ed25519.PublicKey:
		return []string{schemeEd25519}
	case *ecdsa.PublicKey:
		return []string{schemeECDSAP256, schemeECDSAP384, schemeECDSAP521}
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSABits {
			return []string{schemePSSSHA256, schemePSSSHA384, schemePSSSHA512}
		}
	}
	return nil
}

// requireSigns requires that sigstore's verifier, which go-tuf's clients have, takes what the key
// signs.
func requireSigns(t *testing.T, private crypto.Signer, scheme string) {
	t.Helper()
	signer, err := NewSigner(private, scheme)
	require.NoError(t, err)
	public, err := signer.Public(t.Context())
	require.NoError(t, err)
	message := []byte("timestamp")
	sig, err := signer.Sign(t.Context(), message)
	require.NoError(t, err)
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(scheme, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(scheme, "521"), strings.HasSuffix(scheme, "512"):
		hash = crypto.SHA512
	}
	var verifier signature.Verifier
	if key, ok := public.(*rsa.PublicKey); ok {
		verifier, err = signature.LoadRSAPSSVerifier(key, hash, &rsa.PSSOptions{Hash: hash})
	} else {
		verifier, err = signature.LoadVerifier(public, hash)
	}
	require.NoError(t, err)
	require.NoError(t, verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)))
}
