package tufmeta_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

func sigstoreFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "sigstore-root-signing", "metadata", name))
	require.NoError(t, err)
	return data
}

func parse(t testing.TB, data []byte) *tufmeta.Document {
	t.Helper()
	d, err := tufmeta.Parse(data)
	require.NoError(t, err)
	return d
}

// Nothing in this repository was made by this project.
func TestSigstoreRepositoryVerifiesFromItsFirstRoot(t *testing.T) {
	root, err := tufmeta.ParseRoot(parse(t, sigstoreFile(t, "1.root.json")))
	require.NoError(t, err)
	for version := 2; version <= 12; version++ {
		root, err = root.Follow(parse(t, sigstoreFile(t, fmt.Sprintf("%d.root.json", version))))
		require.NoError(t, err, "root version %d", version)
	}
	require.True(t, root.Consistent)

	timestamp, err := root.Roles[tufmeta.Timestamp].Verify(parse(t, sigstoreFile(t, "timestamp.json")))
	require.NoError(t, err)
	require.Equal(t, 7*24*time.Hour, timestamp.Role().ExpiryPeriod)

	snapshot, err := root.Roles[tufmeta.Snapshot].Verify(parse(t, sigstoreFile(t, "159.snapshot.json")))
	require.NoError(t, err)
	info, ok := timestamp.Listed(tufmeta.Snapshot)
	require.True(t, ok)
	require.NoError(t, info.Check(snapshot.Document))

	targets, err := root.Roles[tufmeta.Targets].Verify(parse(t, sigstoreFile(t, "11.targets.json")))
	require.NoError(t, err)
	require.Equal(t, 3650*24*time.Hour, targets.ExpiryPeriod())
	info, ok = snapshot.Listed(tufmeta.Targets)
	require.True(t, ok)
	require.NoError(t, info.Check(targets.Document))

	delegations, err := tufmeta.ParseDelegations(targets.Document)
	require.NoError(t, err)
	npm := delegations.Role("registry.npmjs.org")
	require.NotNil(t, npm)
	_, err = npm.Verify(parse(t, sigstoreFile(t, "5.registry.npmjs.org.json")))
	require.NoError(t, err)

	var listed []string
	for name := range snapshot.ListedRoles() {
		listed = append(listed, name)
	}
	require.Equal(t, []string{"registry.npmjs.org", "rekor", "revocation", "root", "staging", "targets"}, listed)
}
