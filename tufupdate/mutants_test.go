package tufupdate_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var mutants = flag.Bool("mutants", false, "turn each rule of trust off, and have the judge notice (minutes)")

// Each rule of trust is noticed by the judge where it is turned off. A mutant is a replacement in
// the source. It has a comment that names the rule, the file, the old text, which is once in the
// file, and the new text.
//
//	# Rule 5: …
//	file: internal/published/online.go
//	--- old
//	…
//	--- new
//	…
//
// The folder unnoticed has parts of rules that histories in testdata/histories prove, and whose
// absence the judge has not noticed yet.
func TestRulesAreNoticed(t *testing.T) {
	if !*mutants {
		t.Skip("only with -mutants")
	}
	files, err := filepath.Glob("testdata/mutants/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			m := readMutant(t, file)
			out, err := m.judged(t)
			require.Error(t, err, "%s\nis not noticed:\n%s", m.rule, out)
			after := regexp.MustCompile(`seed (\d+), history (\d+)`).FindStringSubmatch(out)
			require.NotNil(t, after, "%s\nthe judge did not complain:\n%s", m.rule, out)
			complaint := regexp.MustCompile(`Error:\s+(.*)`).FindStringSubmatch(out)
			require.NotNil(t, complaint)
			t.Logf("%s: noticed in history %s: %s", m.rule, after[2], complaint[1])
		})
	}
}

// Mutants apply to the source as it is.
func TestMutantsApply(t *testing.T) {
	files, err := filepath.Glob("testdata/mutants/*.txt")
	require.NoError(t, err)
	unnoticed, err := filepath.Glob("testdata/mutants/unnoticed/*.txt")
	require.NoError(t, err)
	for _, file := range append(files, unnoticed...) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			m := readMutant(t, file)
			assert.NotEmpty(t, m.rule)
			m.apply(t)
		})
	}
}

type mutant struct{ rule, file, old, new string }

func readMutant(t *testing.T, name string) (m mutant) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(data), "--- old\n")
	require.True(t, ok, "no old text")
	m.old, m.new, ok = strings.Cut(rest, "--- new\n")
	require.True(t, ok, "no new text")
	for line := range strings.Lines(head) {
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			m.rule = strings.TrimSpace(m.rule + " " + strings.TrimSpace(comment))
		} else if file, ok := strings.CutPrefix(line, "file: "); ok {
			m.file = filepath.Join("..", strings.TrimSpace(file))
		}
	}
	return m
}

// apply returns the mutated source.
func (m mutant) apply(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(m.file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), m.old), "how often %s has the old text", m.file)
	return strings.Replace(string(source), m.old, m.new, 1)
}

// judged runs the judge on the mutated source, until its first complaint.
func (m mutant) judged(t *testing.T) (string, error) {
	dir := t.TempDir()
	mutated := filepath.Join(dir, "mutated.go")
	require.NoError(t, os.WriteFile(mutated, []byte(m.apply(t)), 0o644))
	original, err := filepath.Abs(m.file)
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	require.NoError(t, err)
	name := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(name, overlay, 0o644))
	c := exec.CommandContext(t.Context(), "go", "test", "-overlay", name, "-run", "^TestJudge$", ".", "-v", "-first",
		"-lasting", "10m", fmt.Sprintf("-histories=%d", *histories), fmt.Sprintf("-seed=%d", *seed), "-ignored="+*ignored)
	out, err := c.CombinedOutput()
	return string(out), err
}
