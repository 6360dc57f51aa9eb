package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// samples is private keys, and what files hold them.
func samples(t testing.TB) map[string]struct {
	private crypto.Signer
	data    []byte
} {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(p384)
	require.NoError(t, err)
	seed := []byte(hex.EncodeToString(ed.Seed()))

	return map[string]struct {
		private crypto.Signer
		data    []byte
	}{
		"PKCS #8 of Ed25519": {ed, pkcs8(t, ed)},
		"PKCS #8 of ECDSA":   {p256, pkcs8(t, p256)},
		"PKCS #8 of RSA":     {rsa2048, pkcs8(t, rsa2048)},
		"PKCS #1":            {rsa2048, block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsa2048))},
		"SEC 1":              {p384, block("EC PRIVATE KEY", sec1)},
		"SEC 1 after parameters": {p384, append(block("EC PARAMETERS", []byte{6, 5, 43, 129, 4, 0, 34}),
			block("EC PRIVATE KEY", sec1)...)},
		"PEM after a comment":       {ed, append([]byte("# for acme/desktop\n"), pkcs8(t, ed)...)},
		"PEM with Windows newlines": {ed, bytes.ReplaceAll(pkcs8(t, ed), []byte("\n"), []byte("\r\n"))},
		"seed":                      {ed, ed.Seed()},
		"seed in hex":               {ed, seed},
		"seed in upper case":        {ed, bytes.ToUpper(seed)},
		"seed and newline":          {ed, append(bytes.Clone(seed), '\n')},
		"seed and Windows newline":  {ed, append(bytes.Clone(seed), "\r\n"...)},
	}
}

func pkcs8(t testing.TB, private crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return block("PRIVATE KEY", der)
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestEveryFormatIsRead(t *testing.T) {
	for name, sample := range samples(t) {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(sample.data)
			got, err := parsePrivate(data)
			require.NoError(t, err)
			clear(data)
			assert.Equal(t, sample.private.Public(), got.Public())
		})
	}
}

func TestWhatIsNoPrivateKeyIsRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(ed.Public())
	require.NoError(t, err)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	require.NoError(t, err)
	one := pkcs8(t, ed)
	cut, _ := pem.Decode(one)

	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, errFormat},
		{"a newline", []byte("\n"), errFormat},
		{"text", []byte("a very secret passphrase"), errFormat},
		{"31 bytes", make([]byte, 31), errFormat},
		{"33 bytes", make([]byte, 33), errFormat},
		{"64 characters that are not hex", bytes.Repeat([]byte("g"), 64), errFormat},
		{"hex and two newlines", append(bytes.Repeat([]byte("a"), 64), "\n\n"...), errFormat},
		{"DER without PEM", cut.Bytes, errFormat},
		{"PEM that is cut off", one[:len(one)-20], errFormat},
		{"PEM of something else", block("SECRET", cut.Bytes), errFormat},
		{"parameters alone", block("EC PARAMETERS", []byte{6}), errFormat},
		{"PKCS #8 that is cut off", block("PRIVATE KEY", cut.Bytes[:len(cut.Bytes)-1]), errMalformed},
		{"PKCS #8 under the name of PKCS #1", block("RSA PRIVATE KEY", cut.Bytes), errMalformed},
		{"two keys", append(bytes.Clone(one), one...), errSeveral},
		{"a key for key exchange", pkcs8(t, x25519), errKind},
		{"a public key", block("PUBLIC KEY", public), errPublic},
		{"a certificate", block("CERTIFICATE", public), errPublic},
		{"OpenSSH's format", block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1")), errOpenSSH},
		{"an encrypted PKCS #8", block("ENCRYPTED PRIVATE KEY", cut.Bytes), errEncrypted},
		{"an encrypted key of cosign", block("ENCRYPTED SIGSTORE PRIVATE KEY", cut.Bytes), errEncrypted},
		{"a key that OpenSSL encrypted", pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: cut.Bytes,
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,0123456789ABCDEF"},
		}), errEncrypted},
	} {
		t.Run(c.name, func(t *testing.T) {
			private, err := parsePrivate(c.data)
			require.Equal(t, c.want, err, "just that error, which quotes nothing")
			assert.Nil(t, private)
		})
	}
}
