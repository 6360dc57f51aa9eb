package tufmeta_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// What another tool wrote and its client follows verifies from the first root on. What is out of
// the ordinary is the trouble of the role or the key that it is about.
func TestRepositoriesOfPythonTUFVerify(t *testing.T) {
	for name, delegated := range map[string]struct{ role, problem string }{
		"root-rsa-pkcs1v15":             {},
		"timestamp-rsa-pkcs1v15":        {},
		"timestamp-rsassa-pss-sha512":   {},
		"meta-hashes-sha384":            {},
		"role-keyid-not-among-keys":     {},
		"delegation-keyid-not-declared": {"later", ""},
		"role-name-dotdot":              {"../delegatedrole", `has the segment ".."`},
		"role-name-slash":               {"/delegatedrole", `has the segment ""`},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(file string) *tufmeta.Document {
				data, err := os.ReadFile(filepath.Join("testdata", "repositories", name, file))
				require.NoError(t, err)
				return parse(t, data)
			}
			root, err := tufmeta.ParseRoot(read("1.root.json"))
			require.NoError(t, err)
			timestamp, err := root.Roles["timestamp"].Verify(read("timestamp.json"))
			require.NoError(t, err)
			snapshot, err := root.Roles["snapshot"].Verify(read("1.snapshot.json"))
			require.NoError(t, err)
			targets, err := root.Roles["targets"].Verify(read("1.targets.json"))
			require.NoError(t, err)
			for by, listed := range map[*tufmeta.Verified]*tufmeta.Verified{timestamp: snapshot, snapshot: targets} {
				info, ok := by.Listed(listed.Type())
				require.True(t, ok)
				require.NoError(t, info.Check(listed.Document))
				assert.Equal(t, name == "meta-hashes-sha384", info.Hashes["sha384"] != "")
			}
			ds, err := tufmeta.ParseDelegations(targets.Document)
			require.NoError(t, err)
			if delegated.problem == "" {
				require.Empty(t, ds.Problems())
			} else {
				require.ErrorContains(t, ds.Role(delegated.role).Problem(), delegated.problem)
			}
			if name == "delegation-keyid-not-declared" {
				require.ErrorContains(t, ds.Role("later").Keys[0].Problem(), "is not among the keys")
			}
			assert.Equal(t, delegated.role != "", targets.CheckReadable() != nil)
		})
	}
}
