package tufmeta

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	folders := map[string]string{"valid": testrepo.Valid, "unverified": testrepo.Unverified, "reject": testrepo.Rejected}

	ours, goTUF := map[string]string{}, map[string]string{}
	for name, data := range testrepo.Vectors(t, vectors) {
		role := testrepo.VectorRole(name)
		ours[name], goTUF[name] = verdict(root, role, data), foreignVerdict(theirs, role, data)
		folder, _, _ := strings.Cut(name, "/")
		assert.Equal(t, folders[folder], ours[name], name)
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
