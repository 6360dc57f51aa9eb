package testrepo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a reader says of a document that a role is to have signed.
const (
	Valid      = "valid"
	Unverified = "unverified" // it can be read, and too few keys have signed it
	Rejected   = "rejected"   // it cannot be read
)

// Vectors returns the documents of a folder of vectors, by folder and name.
func Vectors(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	vectors := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		name := filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
		vectors[name] = data
	}
	require.NotEmpty(t, vectors)
	return vectors
}

// VectorRole returns the role that a vector is of: what its name begins with.
func VectorRole(name string) string {
	role, _, _ := strings.Cut(filepath.Base(name), "-")
	return role
}

// CheckVerdicts compares what a reader says of vectors with its column in verdicts.txt, a table in
// their folder. With rewrite it writes the column instead.
func CheckVerdicts(t testing.TB, folder, reader string, got map[string]string, rewrite bool) {
	t.Helper()
	path := filepath.Join(folder, "verdicts.txt")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var comments []string
	var readers []string
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
			comments = append(comments, line)
		case readers == nil:
			readers = fields[1:]
		default:
			rows[fields[0]] = fields[1:]
		}
	}
	column := slices.Index(readers, reader)
	require.GreaterOrEqual(t, column, 0, "verdicts.txt has no column %s", reader)
	if !rewrite {
		assert.Len(t, rows, len(got), "vectors in verdicts.txt")
		for name, verdict := range got {
			if assert.Contains(t, rows, name) {
				assert.Equal(t, rows[name][column], verdict, "what %s says of %s", reader, name)
			}
		}
		return
	}
	names := make([]string, 0, len(got))
	for name, verdict := range got {
		row := slices.Clone(rows[name])
		for len(row) < len(readers) {
			row = append(row, "?")
		}
		row[column] = verdict
		rows[name] = row
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(strings.Join(comments, ""))
	line := func(name string, cells []string) {
		var text strings.Builder
		fmt.Fprintf(&text, "%-60s", name)
		for _, cell := range cells {
			fmt.Fprintf(&text, " %-11s", cell)
		}
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	line("vector", readers)
	for _, name := range names {
		line(name, rows[name])
	}
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
}
