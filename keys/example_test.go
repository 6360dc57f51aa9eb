package keys_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/tufonline/tufonline/keys"
)

// A key file lies in a folder that is named after its app, under the key ID that root declares.
func ExampleDir() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	seed := strings.Repeat("42", ed25519.SeedSize) // in earnest, this comes from where keys are made
	if err := os.MkdirAll(filepath.Join(dir, "acme", "desktop"), 0o700); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "acme", "desktop", "5a5a"), []byte(seed), 0o600); err != nil {
		log.Fatal(err)
	}

	provider, err := keys.NewDir(dir, keys.DirOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, app := range []string{"acme/desktop", "acme/mobile"} {
		_, err = provider.Signer(context.Background(), keys.Request{
			App: app, Role: "timestamp", KeyID: "5a5a", KeyType: "ed25519", Scheme: "ed25519",
		})
		fmt.Println(app, err == nil)
	}
	// Output:
	// acme/desktop true
	// acme/mobile false
}
