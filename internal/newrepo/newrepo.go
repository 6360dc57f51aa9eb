// Package newrepo makes TUF repositories for apps that have none. A new repository has one root,
// consistent snapshots and no delegations. Any TUF tool can go on with it.
package newrepo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/storage"
)

// A Config describes the repository to make.
type Config struct {
	Store storage.Store
	App   string // path of plain segments

	RootKeys      int // how many root keys are made; at least 1
	RootThreshold int // how many of them sign a root; from 1 to RootKeys

	KeyType string // of all keys: Ed25519, ECDSA or RSA

	RootKeyDir string // gets the root keys, one file each, to be taken offline
	KeyDir     string // gets the online keys under <app>/<key ID>, as keys.Dir reads them

	// TargetsOffline puts the targets key beside the root keys.
	TargetsOffline bool

	// Validity is how long the first documents are valid, by role. The default is a year for root
	// and targets, a week for the snapshot, and a day for the timestamp.
	Validity map[string]time.Duration

	// Targets are the first target files, by path.
	Targets map[string][]byte
}

// ErrExists says that a repository or a key is already there. Create overwrites nothing.
var ErrExists = errors.New("there is a repository or a key already")

// Create makes keys and a repository, and returns the root. It writes the keys first, then the
// files that the timestamp leads to, and the timestamp last. If it fails in between, there is no
// repository yet, and its files may make another attempt return ErrExists.
func Create(ctx context.Context, c Config) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	for _, name := range []string{"1.root.json", "timestamp.json"} {
		_, err := c.Store.Get(ctx, c.key(name))
		if err == nil {
			return nil, fmt.Errorf("%s: %w", c.key(name), ErrExists)
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("looking for %s: %w", c.key(name), err)
		}
	}
	m, err := c.newMaker()
	if err != nil {
		return nil, err
	}
	files, err := m.sign()
	if err != nil {
		return nil, err
	}
	if err := m.writeKeys(); err != nil {
		return nil, err
	}
	return files.root, m.publish(ctx, files)
}

func (c *Config) key(name string) string { return c.App + "/" + name }

func (c *Config) check() error {
	if c.Store == nil || c.RootKeyDir == "" || c.KeyDir == "" {
		return errors.New("a new repository needs a store, a folder for root keys and a folder for online keys")
	}
	if c.RootKeyDir == c.KeyDir {
		return errors.New("root keys must not lie with the online keys")
	}
	if err := storage.CheckKey(c.App); err != nil {
		return fmt.Errorf("app name: %w", err)
	}
	if c.RootThreshold < 1 || c.RootThreshold > c.RootKeys {
		return fmt.Errorf("threshold %d of %d root keys", c.RootThreshold, c.RootKeys)
	}
	for role, validity := range c.Validity {
		if validity < time.Second {
			return fmt.Errorf("validity of %s: %v", role, validity)
		}
	}
	for name := range c.Targets {
		if err := storage.CheckKey(c.key("targets/" + name)); err != nil {
			return fmt.Errorf("target file: %w", err)
		}
	}
	return nil
}

func (c *Config) expires(role string) time.Time {
	validity := c.Validity[role]
	if validity == 0 {
		const day = 24 * time.Hour
		switch role {
		case metadata.TIMESTAMP:
			validity = day
		case metadata.SNAPSHOT:
			validity = 7 * day
		default:
			validity = 365 * day
		}
	}
	return time.Now().Add(validity).UTC().Truncate(time.Second) // go-tuf would write fractions
}

// A maker holds the keys of a new repository.
type maker struct {
	*Config
	keys map[string][]*key // by role
}

func (c *Config) newMaker() (*maker, error) {
	m := &maker{Config: c, keys: map[string][]*key{}}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		count := 1
		if role == metadata.ROOT {
			count = c.RootKeys
		}
		for range count {
			k, err := newKey(c.KeyType)
			if err != nil {
				return nil, fmt.Errorf("key for %s: %w", role, err)
			}
			m.keys[role] = append(m.keys[role], k)
		}
	}
	return m, nil
}

// files holds the signed documents.
type files struct{ root, targets, snapshot, timestamp []byte }

func (m *maker) sign() (f files, err error) {
	root := metadata.Root(m.expires(metadata.ROOT))
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		for _, k := range m.keys[role] {
			if err := root.Signed.AddKey(k.public, role); err != nil {
				return f, err
			}
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = m.RootThreshold
	if f.root, err = sign(root, m.keys[metadata.ROOT]); err != nil {
		return f, err
	}
	targets := metadata.Targets(m.expires(metadata.TARGETS))
	for name, content := range m.Targets {
		info, err := metadata.TargetFile().FromBytes(name, content, "sha256")
		if err != nil {
			return f, fmt.Errorf("target file %s: %w", name, err)
		}
		targets.Signed.Targets[name] = info
	}
	if f.targets, err = sign(targets, m.keys[metadata.TARGETS]); err != nil {
		return f, err
	}
	snapshot := metadata.Snapshot(m.expires(metadata.SNAPSHOT))
	snapshot.Signed.Meta["targets.json"] = listed(f.targets)
	if f.snapshot, err = sign(snapshot, m.keys[metadata.SNAPSHOT]); err != nil {
		return f, err
	}
	timestamp := metadata.Timestamp(m.expires(metadata.TIMESTAMP))
	timestamp.Signed.Meta["snapshot.json"] = listed(f.snapshot)
	f.timestamp, err = sign(timestamp, m.keys[metadata.TIMESTAMP])
	return f, err
}

// listed returns the entry of version 1 of a file. It has length and hash, which some clients want
// in the timestamp.
func listed(file []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(file)
	return &metadata.MetaFiles{Version: 1, Length: int64(len(file)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

func sign[T metadata.Roles](md *metadata.Metadata[T], by []*key) ([]byte, error) {
	for _, k := range by {
		signer, err := k.signer()
		if err != nil {
			return nil, err
		}
		if _, err := md.Sign(signer); err != nil {
			return nil, err
		}
	}
	return md.ToBytes(true)
}

func (m *maker) publish(ctx context.Context, f files) error {
	for name, content := range m.Targets {
		sum := sha256.Sum256(content)
		dir, base := path.Split(name)
		key := m.key("targets/" + dir + hex.EncodeToString(sum[:]) + "." + base)
		if _, err := m.Store.Create(ctx, key, content); err != nil {
			return fmt.Errorf("writing %s: %w", key, err)
		}
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{"1.root.json", f.root}, {"1.targets.json", f.targets}, {"1.snapshot.json", f.snapshot}} {
		if _, err := m.Store.Create(ctx, m.key(file.name), file.data); err != nil {
			return fmt.Errorf("writing %s: %w", m.key(file.name), err)
		}
	}
	if _, err := m.Store.Replace(ctx, m.key("timestamp.json"), storage.Absent, f.timestamp); err != nil {
		return fmt.Errorf("writing %s: %w", m.key("timestamp.json"), err)
	}
	return nil
}
