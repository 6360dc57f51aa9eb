package tufonline_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The README's Go block is a part of examples/embed, which compiles and runs.
func TestTheReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("examples/embed/main.go")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	snippet, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	require.Contains(t, string(example), snippet)
}

func TestTheManualFitsOnAScreen(t *testing.T) {
	manual, err := exec.CommandContext(t.Context(), "go", "doc", "./tufupdate").Output()
	require.NoError(t, err)
	assert.LessOrEqual(t, bytes.Count(manual, []byte("\n")), 50, "go doc ./tufupdate")
}

// Each test that a document names exists, or is a file of histories.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	defined := map[string]bool{}
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllSubmatch(source, -1) {
			defined[string(match[1])] = true
		}
		return err
	}))
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	named := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)(?:/(\\w+))?`").FindAllSubmatch(text, -1) {
			named++
			assert.True(t, defined[string(match[1])], "%s names %s", document, match[1])
			if file := string(match[2]); file != "" {
				assert.FileExists(t, "tufupdate/testdata/histories/"+file+".txt", document)
			}
		}
	}
	assert.Positive(t, named)
}
