package integration_test

import (
	"encoding/json"
	"flag"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
)

var rewrite = flag.Bool("rewrite", false, "write verdicts of vectors into their table")

// What foreign readers say of the vectors is what verdicts.txt says.
func TestForeignReadersOfVectors(t *testing.T) {
	folder, err := filepath.Abs("../internal/tufmeta/testdata/vectors")
	require.NoError(t, err)
	t.Run("tuf-js", func(t *testing.T) {
		node := exec.CommandContext(t.Context(), "node", "verdicts.mjs", folder)
		node.Dir = installTufJS(t)
		checkVerdicts(t, folder, "tuf-js", node)
	})
	t.Run("python-tuf", func(t *testing.T) {
		if err := exec.CommandContext(t.Context(), "python3", "-c", "import tuf").Run(); err != nil {
			t.Skipf("NOT TESTED with python-tuf: python3 -c 'import tuf': %v", err)
		}
		checkVerdicts(t, folder, "python-tuf", exec.CommandContext(t.Context(), "python3", "tufpython/verdicts.py", folder))
	})
}

func checkVerdicts(t *testing.T, folder, reader string, cmd *exec.Cmd) {
	t.Helper()
	output, err := cmd.Output()
	require.NoError(t, err)
	verdicts := map[string]string{}
	require.NoError(t, json.Unmarshal(output, &verdicts))
	testrepo.CheckVerdicts(t, folder, reader, verdicts, *rewrite)
}
