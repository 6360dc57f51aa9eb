package tufmeta

import (
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
)

var rewrite = flag.Bool("rewrite", false, "write verdicts of vectors into their table")

const vectors = "testdata/vectors"

// Each vector is read as its folder says. What other readers say is in verdicts.txt; go-tuf is
// asked here, the others where integration tests run them.
func TestVectorsAreReadAsTheirFolderSays(t *testing.T) {
	trusted, err := os.ReadFile(filepath.Join(vectors, "root.json"))
	require.NoError(t, err)
	d, err := Parse(trusted)
	require.NoError(t, err)
	root, err := ParseRoot(d)
	require.NoError(t, err)
	theirs, err := readForeign(trusted)
	require.NoError(t, err)
	folders := map[string]string{
		"valid": testrepo.Valid, "partly": testrepo.Valid, "unverified": testrepo.Unverified, "reject": testrepo.Rejected,
	}

	ours, goTUF := map[string]string{}, map[string]string{}
	for name, data := range testrepo.Vectors(t, vectors) {
		role := testrepo.VectorRole(name)
		ours[name], goTUF[name] = verdict(root, role, data), foreignVerdict(theirs, role, data)
		folder, _, _ := strings.Cut(name, "/")
		assert.Equal(t, folders[folder], ours[name], name)
		assert.Equal(t, folder == "partly", ours[name] == testrepo.Valid && hasProblem(t, data), name)
	}
	testrepo.CheckVerdicts(t, vectors, "tufonline", ours, *rewrite)
	testrepo.CheckVerdicts(t, vectors, "go-tuf", goTUF, *rewrite)
}

// verdict says what we make of a document that a role of root is to have signed.
func verdict(root *RootDocument, role string, data []byte) string {
	d, err := Parse(data)
	if err != nil {
		return testrepo.Rejected
	}
	if role == Root {
		if _, err := ParseRoot(d); err != nil {
			return testrepo.Rejected
		}
		if _, err := root.Follow(d); err != nil {
			return testrepo.Unverified
		}
		return testrepo.Valid
	}
	if role == Targets {
		if _, err := ParseDelegations(d); err != nil {
			return testrepo.Rejected
		}
	}
	if _, err := root.Roles[role].Verify(d); err != nil {
		return testrepo.Unverified
	}
	return testrepo.Valid
}

// foreignVerdict is verdict for go-tuf.
func foreignVerdict(root foreign, role string, data []byte) string {
	d, err := readForeign(data)
	if err != nil {
		return testrepo.Rejected
	}
	if root.verifies(role, d) != nil {
		return testrepo.Unverified
	}
	return testrepo.Valid
}

// hasProblem reports whether some role or key of a document has a problem.
func hasProblem(t *testing.T, data []byte) bool {
	t.Helper()
	d, err := Parse(data)
	require.NoError(t, err)
	var keys map[string]*Key
	var roles map[string]*Role
	switch d.Type() {
	case Root:
		root, err := ParseRoot(d)
		require.NoError(t, err)
		roles = root.Roles
		keys, err = parseKeys(d.field("keys"))
		require.NoError(t, err)
	case Targets:
		ds, err := ParseDelegations(d)
		require.NoError(t, err)
		if len(ds.Problems()) > 0 {
			return true
		}
		keys, roles = ds.keys, ds.byName
	}
	isBad := func(k *Key) bool { return k.Problem() != nil }
	for _, role := range roles {
		if role.Problem() != nil || slices.ContainsFunc(role.Keys, isBad) {
			return true
		}
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(keys)), isBad)
}

// What is signed has the form that make.py writes, of which verdicts.txt has what readers say.
func TestVectorsAreWrittenAnewInOneForm(t *testing.T) {
	trusted, err := os.ReadFile(filepath.Join(vectors, "root.json"))
	require.NoError(t, err)
	d, err := Parse(trusted)
	require.NoError(t, err)
	root, err := ParseRoot(d)
	require.NoError(t, err)
	role := root.Roles[Targets]
	signers := make([]Signer, len(role.Keys))
	for i, key := range role.Keys {
		seed := sha256.Sum256([]byte("vectors targets " + []string{"1", "2"}[i])) // as in make.py
		signers[i] = Signer{key, fuzzSigner{ed25519.NewKeyFromSeed(seed[:])}}
	}
	n := 0
	all := testrepo.Vectors(t, vectors)
	for name, want := range all {
		before, ok := strings.CutSuffix(name, "-written-anew")
		if !ok {
			continue
		}
		n++
		d, err := Parse(all[before])
		require.NoError(t, err)
		v, err := role.Verify(d)
		require.NoError(t, err)
		draft, err := v.Next(Change{Version: 2, Expires: time.Date(2099, 1, 1, 0, 0, 0, 1, time.UTC)})
		require.NoError(t, err)
		next, problems, err := draft.Sign(t.Context(), role, signers)
		require.NoError(t, err)
		require.Empty(t, problems)
		assert.Equal(t, string(want), string(next.Bytes()), name)
	}
	require.Greater(t, n, 20)
}

// CheckReadable takes nothing but what all readers of verdicts.txt take for valid, and all of it
// where nothing has a problem.
func TestWhatEveryReaderReadsIsReadable(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(vectors, "verdicts.txt"))
	require.NoError(t, err)
	everybody := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) == 5 && fields[0] != "#" {
			everybody[fields[0]] = !slices.ContainsFunc(fields[1:], func(v string) bool { return v != testrepo.Valid })
		}
	}
	for name, data := range testrepo.Vectors(t, vectors) {
		d, err := Parse(data)
		if err != nil || d.Type() != Targets {
			continue
		}
		switch folder, _, _ := strings.Cut(name, "/"); folder {
		case "valid":
			assert.Equal(t, everybody[name], d.CheckReadable() == nil, "%s: %v", name, d.CheckReadable())
		case "partly":
			assert.Error(t, d.CheckReadable(), name)
		}
	}
}
