package tufupdate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// An objectModel rolls targets, snapshot and timestamp in the obvious way, to compare with:
// go-tuf's objects are loaded, verified, changed, signed and serialised, and one storage call
// follows the other. It neither looks for new roots beyond the next one nor for uploads, and checks
// nothing afterwards.
type objectModel struct {
	store   storage.Store
	app     string
	signers map[string]signature.Signer
}

func newObjectModel(t testing.TB, store storage.Store, repo *testrepo.Repo) *objectModel {
	o := &objectModel{store: store, app: repo.App, signers: map[string]signature.Signer{}}
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		o.signers[role] = repo.Keys[role][0].Sigstore(t)
	}
	return o
}

// roll rolls. signTargets says whether targets is signed too.
func (o *objectModel) roll(ctx context.Context, signTargets bool) error {
	root, _, err := load(ctx, o, "1.root.json", metadata.Root())
	if err != nil {
		return err
	}
	if _, err := o.store.Get(ctx, o.app+"/2.root.json"); !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("2.root.json: %w", err)
	}
	timestamp, old, err := load(ctx, o, "timestamp.json", metadata.Timestamp())
	if err != nil {
		return err
	}
	snapshot, _, err := load(ctx, o, fmt.Sprintf("%d.snapshot.json", timestamp.Signed.Meta["snapshot.json"].Version),
		metadata.Snapshot())
	if err != nil {
		return err
	}
	if err := errors.Join(root.VerifyDelegate(metadata.TIMESTAMP, timestamp),
		root.VerifyDelegate(metadata.SNAPSHOT, snapshot)); err != nil {
		return err
	}
	expires := time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 7)
	if signTargets {
		targets, _, err := load(ctx, o, fmt.Sprintf("%d.targets.json", snapshot.Signed.Meta["targets.json"].Version),
			metadata.Targets())
		if err != nil {
			return err
		}
		if err := root.VerifyDelegate(metadata.TARGETS, targets); err != nil {
			return err
		}
		targets.Signed.Version++
		targets.Signed.Expires = expires
		data, err := resign(o, metadata.TARGETS, targets)
		if err != nil {
			return err
		}
		if _, err := o.store.Create(ctx, fmt.Sprintf("%s/%d.targets.json", o.app, targets.Signed.Version), data); err != nil {
			return err
		}
		listed := snapshot.Signed.Meta["targets.json"]
		if listed.Version = targets.Signed.Version; listed.Length != 0 {
			listed.Length = int64(len(data))
		}
	}
	snapshot.Signed.Version++
	snapshot.Signed.Expires = expires
	data, err := resign(o, metadata.SNAPSHOT, snapshot)
	if err != nil {
		return err
	}
	if _, err := o.store.Create(ctx, fmt.Sprintf("%s/%d.snapshot.json", o.app, snapshot.Signed.Version),
		data); err != nil {
		return err
	}
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	timestamp.Signed.Meta["snapshot.json"].Length = int64(len(data))
	timestamp.Signed.Version++
	timestamp.Signed.Expires = expires
	if data, err = resign(o, metadata.TIMESTAMP, timestamp); err != nil {
		return err
	}
	_, err = o.store.Replace(ctx, o.app+"/timestamp.json", old, data)
	return err
}

func load[T metadata.Roles](ctx context.Context, o *objectModel, name string, empty *metadata.Metadata[T]) (
	*metadata.Metadata[T], storage.Version, error,
) {
	object, err := o.store.Get(ctx, o.app+"/"+name)
	if err != nil {
		return nil, "", err
	}
	md, err := empty.FromBytes(object.Data)
	return md, object.Version, err
}

func resign[T metadata.Roles](o *objectModel, role string, md *metadata.Metadata[T]) ([]byte, error) {
	md.ClearSignatures()
	if _, err := md.Sign(o.signers[role]); err != nil {
		return nil, err
	}
	return md.ToBytes(false)
}

// What we compare with does the same work.
func TestTheObjectModelRolls(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	o := newObjectModel(t, repo.Store, repo)
	require.NoError(t, o.roll(t.Context(), true))
	require.NoError(t, o.roll(t.Context(), false))
	got := versions(t, newClient(t, repo))
	require.EqualValues(t, 3, got["timestamp"])
	require.EqualValues(t, 2, got["targets"])
}
