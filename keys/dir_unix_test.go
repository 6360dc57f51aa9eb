//go:build unix

package keys_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPipeIsRefusedAndNotWaitedFor(t *testing.T) {
	k := newKey(t, "acme")
	dir := t.TempDir()
	file := filepath.Join(dir, "acme", k.ID)
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	require.NoError(t, syscall.Mkfifo(file, 0o600))
	refused(t, newDir(t, dir), k, file, "is a special file, not a regular file")
}
