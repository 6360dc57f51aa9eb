package keys

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsReplacedBetweenALookAndAnOpenIsNotUsed(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace func(t *testing.T, path, twin string)
	}{
		{"by a link", func(t *testing.T, path, twin string) { require.NoError(t, os.Symlink(filepath.Base(twin), path)) }},
		{"by another one", func(t *testing.T, path, twin string) { require.NoError(t, os.Rename(twin, path)) }},
		{"by nothing", func(*testing.T, string, string) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			require.NoError(t, err)
			defer root.Close()
			for _, name := range []string{"file", "other-file"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
			}
			for _, name := range []string{"folder", "other-folder"} {
				require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
			}
			// Moved away and not removed, since a new file might be given the number of the old
			// one.
			seenFile, err := look(root, "file", 0)
			require.NoError(t, err)
			seenFolder, err := look(root, "folder", fs.ModeDir)
			require.NoError(t, err)
			for _, name := range []string{"file", "folder"} {
				path := filepath.Join(dir, name)
				require.NoError(t, os.Rename(path, path+"-before"))
				c.replace(t, path, filepath.Join(dir, "other-"+name))
			}
			f, err := openFile(root, "file", seenFile)
			require.ErrorIs(t, err, errChanged)
			assert.Nil(t, f)
			folder, err := openFolder(root, "folder", seenFolder)
			require.ErrorIs(t, err, errChanged)
			assert.Nil(t, folder)
		})
	}
}
