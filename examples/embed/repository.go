package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
)

// The only target file and its content.
const (
	target  = "hello.txt"
	content = "hello"
)

// newRepository makes a repository with go-tuf and returns its root.
func newRepository(ctx context.Context, store storage.Store, provider *keys.Memory) ([]byte, error) {
	expires := time.Now().AddDate(0, 0, 1).UTC().Truncate(time.Second)
	root := metadata.Root(expires)
	signers := map[string]signature.Signer{}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return nil, err
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return nil, err
		}
		if signers[role], err = signature.LoadED25519Signer(private); err != nil {
			return nil, err
		}
		if role == metadata.ROOT {
			continue
		}
		online, err := keys.NewSigner(private, key.Scheme)
		if err != nil {
			return nil, err
		}
		provider.Add(app, root.Signed.Roles[role].KeyIDs[0], online)
	}

	info, err := metadata.TargetFile().FromBytes(target, []byte(content), "sha256")
	if err != nil {
		return nil, err
	}
	targets := metadata.Targets(expires)
	targets.Signed.Targets[target] = info
	snapshot, timestamp := metadata.Snapshot(expires), metadata.Timestamp(expires)

	rootFile, err := publish(ctx, store, "1.root.json", root, signers[metadata.ROOT])
	if err != nil {
		return nil, err
	}
	if _, err := publish(ctx, store, "1.targets.json", targets, signers[metadata.TARGETS]); err != nil {
		return nil, err
	}
	if _, err := publish(ctx, store, "1.snapshot.json", snapshot, signers[metadata.SNAPSHOT]); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("targets/%x.%s", sha256.Sum256([]byte(content)), target)
	if _, err := store.Create(ctx, app+"/"+name, []byte(content)); err != nil {
		return nil, err
	}
	_, err = publish(ctx, store, "timestamp.json", timestamp, signers[metadata.TIMESTAMP])
	return rootFile, err
}

// publish signs a document and writes it. Later releases replace the timestamp and no other file.
func publish[T metadata.Roles](
	ctx context.Context, store storage.Store, name string, md *metadata.Metadata[T], signer signature.Signer,
) ([]byte, error) {
	if _, err := md.Sign(signer); err != nil {
		return nil, err
	}
	data, err := md.ToBytes(true)
	if err != nil {
		return nil, err
	}
	if name == "timestamp.json" {
		_, err = store.Replace(ctx, app+"/"+name, storage.Absent, data)
	} else {
		_, err = store.Create(ctx, app+"/"+name, data)
	}
	return data, err
}
