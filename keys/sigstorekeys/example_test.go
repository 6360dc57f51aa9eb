package sigstorekeys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/sigstorekeys"
)

// An ECDSA key becomes the online key of an app, under the key ID that root declares.
func ExampleNew() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	// In earnest, this comes from sigstore's kms.Get.
	s, err := signature.LoadECDSASigner(private, crypto.SHA256)
	if err != nil {
		log.Fatal(err)
	}

	provider := keys.NewMemory()
	provider.Add("acme/desktop", "5a5a", sigstorekeys.New(s))

	ctx := context.Background()
	signer, err := provider.Signer(ctx, keys.Request{App: "acme/desktop", Role: "timestamp", KeyID: "5a5a"})
	if err != nil {
		log.Fatal(err)
	}
	public, err := signer.Public(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(private.PublicKey.Equal(public))
	// Output:
	// true
}
