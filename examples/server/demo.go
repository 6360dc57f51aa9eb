package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tufonline/tufonline/internal/newrepo"
	"github.com/tufonline/tufonline/storage"
)

// The demo is a repository with all its keys, in a folder that later runs use again.
const (
	demoOwner = "demo"
	demoApp   = demoOwner + "/hello"

	demoDir      = "demo-data"
	demoKeys     = demoDir + "/keys"
	demoRootKeys = demoDir + "/root-keys"
	demoRoots    = demoDir + "/roots"
	demoRoot     = demoRoots + "/" + demoApp + ".json"
	demoSecret   = demoDir + "/jwt-secret"
	demoTasks    = "sqlite://./" + demoDir + "/tasks.db"
	demoFiles    = demoDir + "/repository"
	demoStore    = "file://./" + demoFiles + "?create_dir=true" // unless -store says otherwise
)

// useDemo creates the demo's folders and secret, and sets the options that -demo implies.
func useDemo(o *options) error {
	for _, dir := range []string{demoKeys, filepath.Dir(demoRoot)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if o.store == "" {
		o.store = demoStore
	}
	if o.tasks == memTasks {
		o.tasks = demoTasks
	}
	o.keys, o.roots, o.serve = demoKeys, demoRoots, true
	var err error
	o.token.Secret, err = keptSecret(demoSecret)
	return err
}

// keptSecret returns the secret in a file. If there is no file, it creates one with a random
// secret.
func keptSecret(name string) ([]byte, error) {
	secret, err := os.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	secret = hex.AppendEncode(nil, random)
	return secret, os.WriteFile(name, secret, 0o600)
}

// setupDemo creates the demo's repository in store, unless an earlier run did. The keys are in
// demoKeys and demoRootKeys, and the first root is in demoRoot.
func setupDemo(ctx context.Context, store storage.Store) error {
	root, err := os.ReadFile(demoRoot)
	if err == nil {
		return isIn(ctx, store, root)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	root, err = newrepo.Create(ctx, newrepo.Config{
		Store: store, App: demoApp, KeyType: newrepo.Ed25519, KeyDir: demoKeys,
		RootKeys: 1, RootThreshold: 1, RootKeyDir: demoRootKeys,
		Targets: map[string][]byte{"hello.txt": []byte("hello\n")},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(demoRoot, root, 0o600)
}

// isIn returns an error unless the store holds the repository that begins with root.
func isIn(ctx context.Context, store storage.Store, root []byte) error {
	object, err := store.Get(ctx, demoApp+"/1.root.json")
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if !bytes.Equal(object.Data, root) {
		return fmt.Errorf("the folder %s belongs to a repository in another store: use that store, or remove the folder",
			demoDir)
	}
	return nil
}

// explainDemo prints commands for the demo at address.
func explainDemo(w io.Writer, address string, secret []byte) error {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": demoOwner, "role": "admin", "exp": time.Now().Add(24 * time.Hour).Unix(),
	}).SignedString(secret)
	if err != nil {
		return fmt.Errorf("signing the demo's token: %w", err)
	}
	_, err = fmt.Fprintf(w, `
An admin's token of %[2]s, for a day:

  TOKEN=%[4]s

Roll the online roles:

  curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{}' \
    'http://%[1]s/tuf/v1/metadata/online?appName=%[3]s'

See what became of it, with the task_id of that answer:

  curl -H "Authorization: Bearer $TOKEN" 'http://%[1]s/tuf/v1/task?task_id='

See the repository's state:

  curl -H "Authorization: Bearer $TOKEN" 'http://%[1]s/tuf/v1/status?appName=%[3]s'

TUF clients trust the root in %[5]s and find
  metadata at http://%[1]s/tuf_metadata/%[3]s/
  targets at  http://%[1]s/tuf_metadata/%[3]s/targets/
`, address, demoOwner, demoApp, token, demoRoot)
	return err
}
