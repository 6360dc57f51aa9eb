package testrepo

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/storage"
)

// Read returns the file of that name in the store.
func (r *Repo) Read(t testing.TB, key string) []byte {
	t.Helper()
	object, err := r.Store.Get(t.Context(), key)
	require.NoError(t, err, key)
	return object.Data
}

// Overwrite puts any bytes under any name, as an attacker with write access to the store can.
func (r *Repo) Overwrite(t testing.TB, key string, data []byte) {
	t.Helper()
	require.NoError(t, r.Store.(storage.Deleter).Delete(t.Context(), key))
	_, err := r.Store.Replace(t.Context(), key, storage.Absent, data)
	require.NoError(t, err)
}

// Targets reads a published targets role with go-tuf.
func (r *Repo) Targets(t testing.TB, role string, version int64) *metadata.Metadata[metadata.TargetsType] {
	t.Helper()
	md, err := metadata.Targets().FromBytes(r.Read(t, r.File(role, version)))
	require.NoError(t, err)
	return md
}

// Upload changes a role's document, signs it as that version and puts it into the store, as the
// holders of an offline role's keys do.
func (r *Repo) Upload(t testing.TB, role string, version int64, change func(*metadata.TargetsType)) {
	t.Helper()
	r.create(t, role, version, r.NextTargets(t, role, version, change))
}

// NextTargets returns the document that Upload would put into the store. It changes the last
// version that can be read.
func (r *Repo) NextTargets(t testing.TB, role string, version int64, change func(*metadata.TargetsType)) []byte {
	t.Helper()
	md := metadata.Targets(r.expires(role))
	for last := version - 1; last > 0; last-- {
		object, err := r.Store.Get(t.Context(), r.File(role, last))
		require.NoError(t, err)
		if read, err := metadata.Targets().FromBytes(object.Data); err == nil {
			md = read
			break
		}
	}
	md.Signed.Version = version
	if change != nil {
		change(&md.Signed)
	}
	return sign(t, r, role, md)
}

// Rotate replaces the keys of a top-level role and publishes the next root. The root keys of both
// versions sign it.
func (r *Repo) Rotate(t testing.TB, role string) {
	t.Helper()
	old := r.Keys[role]
	signers := r.Keys[metadata.ROOT]
	for _, k := range old {
		require.NoError(t, r.root.Signed.RevokeKey(k.ID, role))
	}
	for _, k := range r.newKeys(t, role) {
		require.NoError(t, r.root.Signed.AddKey(k.Public, role))
	}
	r.root.Signed.Version++
	r.root.Signed.Expires = r.expires(metadata.ROOT)
	if role == metadata.ROOT {
		signers = append(signers, r.Keys[metadata.ROOT]...)
	}
	r.create(t, metadata.ROOT, r.root.Signed.Version, SignWith(t, r.root, r.options.Pretty, signers...))
}
