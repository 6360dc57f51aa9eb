package keys_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
)

// write writes a key where Dir looks for it, and returns the file's path.
func write(t testing.TB, dir string, k keystest.Key) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	require.NoError(t, err)
	return writeFile(t, filepath.Join(dir, filepath.FromSlash(k.App), k.ID),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func writeFile(t testing.TB, file string, data []byte) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func newDir(t testing.TB, path string) *keys.Dir {
	t.Helper()
	d, err := keys.NewDir(path, keys.DirOptions{})
	require.NoError(t, err)
	return d
}

func newKey(t testing.TB, app string) keystest.Key {
	t.Helper()
	return keystest.Kinds()[0].New(t, app)
}

func TestDirIsAProvider(t *testing.T) {
	keystest.Run(t, func(t testing.TB, held ...keystest.Key) keys.Provider {
		dir := t.TempDir()
		for _, k := range held {
			write(t, dir, k)
		}
		return newDir(t, dir)
	})
}

// refused checks that a provider fails to tell, with an error that says where and why but not what
// the file holds.
func refused(t *testing.T, d *keys.Dir, k keystest.Key, file, why string) {
	t.Helper()
	s, err := d.Signer(t.Context(), k.Request())
	require.ErrorContains(t, err, why)
	require.NotErrorIs(t, err, keys.ErrNoKey, "a key that cannot be used is not one that is missing")
	require.Nil(t, s)
	require.ErrorContains(t, err, file)
	if info, statErr := os.Stat(file); statErr == nil && info.Mode().IsRegular() {
		data, readErr := os.ReadFile(file)
		require.NoError(t, readErr)
		quotesNothing(t, err, data)
	}
}

// quotesNothing checks that an error has no run of characters of a file.
func quotesNothing(t *testing.T, err error, data []byte) {
	t.Helper()
	const run = 8
	for i := 0; i+run <= len(data); i++ {
		require.NotContains(t, err.Error(), string(data[i:i+run]))
	}
}

func TestAFlatFolderHoldsTheKeysOfAllApps(t *testing.T) {
	dir := t.TempDir()
	k := newKey(t, "acme/desktop")
	data, err := os.ReadFile(write(t, dir, k))
	require.NoError(t, err)
	_, err = newDir(t, dir).Signer(t.Context(), k.Request())
	require.NoError(t, err)
	d, err := keys.NewDir(dir, keys.DirOptions{Flat: true})
	require.NoError(t, err)
	req := k.Request()
	_, err = d.Signer(t.Context(), req)
	require.ErrorIs(t, err, keys.ErrNoKey, "it is in the folder of its app")
	writeFile(t, filepath.Join(dir, req.KeyID), data)
	for _, app := range []string{"acme/desktop", "globex/desktop"} {
		req.App = app
		_, err = d.Signer(t.Context(), req)
		require.NoError(t, err)
	}
	req.App = "../acme"
	_, err = d.Signer(t.Context(), req)
	require.ErrorIs(t, err, keys.ErrNoKey)
}

func TestAFileThatCannotBeUsedIsRefused(t *testing.T) {
	k := newKey(t, "acme/desktop")
	private, ok := k.Private.(ed25519.PrivateKey)
	require.True(t, ok)
	for _, c := range []struct {
		name string
		data []byte
		why  string
	}{
		{"empty", nil, "not a private key"},
		{"text", []byte("hunter2 hunter2 hunter2"), "not a private key"},
		{"a seed in hex with a wrong digit", []byte(hex.EncodeToString(private.Seed())[1:] + "x"), "not a private key"},
		{"PEM of nonsense", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "malformed private key"},
		{"encrypted", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: private}),
			"encrypted with a passphrase"},
		{"a public key", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: private[32:]}), "holds a public key"},
		{"too large", bytes.Repeat([]byte("0123456789abcdef"), 1<<12+1), "more than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := writeFile(t, filepath.Join(dir, "acme", "desktop", k.ID), c.data)
			refused(t, newDir(t, dir), k, file, c.why)
		})
	}
	t.Run("a key of another kind than is declared", func(t *testing.T) {
		dir := t.TempDir()
		file := write(t, dir, k)
		other := k
		other.Scheme = "ecdsa-sha2-nistp256"
		refused(t, newDir(t, dir), other, file, "scheme ecdsa-sha2-nistp256 does not go with a key of type ed25519.PublicKey")
	})
	t.Run("no scheme in the request", func(t *testing.T) {
		req := k.Request()
		req.Scheme = ""
		_, err := newDir(t, t.TempDir()).Signer(t.Context(), req)
		require.ErrorContains(t, err, "no scheme")
		require.NotErrorIs(t, err, keys.ErrNoKey)
	})
}

func TestAFileThatOthersMayUseIsRefusedUnlessAllowed(t *testing.T) {
	k := newKey(t, "acme")
	dir := t.TempDir()
	file := write(t, dir, k)
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o660, 0o620, 0o610, 0o601, 0o777} {
		require.NoError(t, os.Chmod(file, mode))
		refused(t, newDir(t, dir), k, file, fmt.Sprintf("mode is %04o", mode))
		d, err := keys.NewDir(dir, keys.DirOptions{Shared: true})
		require.NoError(t, err)
		_, err = d.Signer(t.Context(), k.Request())
		require.NoError(t, err, "mode %o", mode)
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		require.NoError(t, os.Chmod(file, mode))
		_, err := newDir(t, dir).Signer(t.Context(), k.Request())
		require.NoError(t, err, "mode %o", mode)
	}
}

func TestLinksAreRefusedWhereverTheyLead(t *testing.T) {
	k := newKey(t, "acme/desktop")
	for _, c := range []struct {
		name string
		link func(t *testing.T, dir, elsewhere string)
	}{
		{"a file of the same folder", func(t *testing.T, dir, _ string) {
			other := k
			other.ID = "other"
			write(t, dir, other)
			require.NoError(t, os.Symlink("other", filepath.Join(dir, "acme", "desktop", k.ID)))
		}},
		{"a file of another app", func(t *testing.T, dir, _ string) {
			other := k
			other.App = "other"
			write(t, dir, other)
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "acme", "desktop"), 0o700))
			require.NoError(t, os.Symlink(filepath.Join("..", "..", "other", k.ID), filepath.Join(dir, "acme", "desktop", k.ID)))
		}},
		{"a file outside", func(t *testing.T, dir, elsewhere string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "acme", "desktop"), 0o700))
			require.NoError(t, os.Symlink(write(t, elsewhere, k), filepath.Join(dir, "acme", "desktop", k.ID)))
		}},
		{"nothing", func(t *testing.T, dir, elsewhere string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "acme", "desktop"), 0o700))
			require.NoError(t, os.Symlink("nothing", filepath.Join(dir, "acme", "desktop", k.ID)))
		}},
		{"the folder of another app", func(t *testing.T, dir, _ string) {
			other := k
			other.App = "acme/mobile"
			write(t, dir, other)
			require.NoError(t, os.Symlink("mobile", filepath.Join(dir, "acme", "desktop")))
		}},
		{"a folder outside", func(t *testing.T, dir, elsewhere string) {
			write(t, elsewhere, k)
			require.NoError(t, os.Symlink(filepath.Join(elsewhere, "acme"), filepath.Join(dir, "acme")))
		}},
		{"the folder itself", func(t *testing.T, dir, _ string) {
			other := k
			other.App = "desktop"
			write(t, dir, other)
			require.NoError(t, os.Symlink(".", filepath.Join(dir, "acme")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.link(t, dir, t.TempDir())
			refused(t, newDir(t, dir), k, filepath.Join(dir, "acme", "desktop", k.ID), "is a symbolic link")
		})
	}
}

func TestTheFolderMayBeALink(t *testing.T) {
	k := newKey(t, "acme")
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	write(t, dir, k)
	require.NoError(t, os.Symlink(dir, link))
	_, err := newDir(t, link).Signer(t.Context(), k.Request())
	require.NoError(t, err)
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	k := newKey(t, "acme/desktop")
	t.Run("a folder in the place of the key", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "acme", "desktop", k.ID)
		require.NoError(t, os.MkdirAll(file, 0o700))
		refused(t, newDir(t, dir), k, file, "is a folder, not a regular file")
	})
	t.Run("a file in the place of the app's folder", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "acme", "desktop"), nil)
		refused(t, newDir(t, dir), k, filepath.Join(dir, "acme", "desktop", k.ID),
			`"desktop" is a regular file, not a folder`)
	})
}

func TestAMissingFolderIsNotAMissingKey(t *testing.T) {
	k := newKey(t, "acme")
	dir := filepath.Join(t.TempDir(), "keys")
	_, err := keys.NewDir(dir, keys.DirOptions{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = keys.NewDir(writeFile(t, filepath.Join(t.TempDir(), "file"), nil), keys.DirOptions{})
	require.Error(t, err)

	file := write(t, dir, k)
	d := newDir(t, dir)
	require.NoError(t, os.RemoveAll(dir))
	refused(t, d, k, file, "folder of keys")

	write(t, dir, k)
	_, err = d.Signer(t.Context(), k.Request())
	require.NoError(t, err, "it is back")
}

func TestAKeyThatCannotBeReadIsNotAMissingKey(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIPPED: root may read everything; run the tests as another user")
	}
	k := newKey(t, "acme/desktop")
	for _, closed := range []string{"acme", "acme/desktop", "acme/desktop/" + k.ID} {
		dir := t.TempDir()
		file := write(t, dir, k)
		path := filepath.Join(dir, filepath.FromSlash(closed))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, 0))
		s, err := newDir(t, dir).Signer(t.Context(), k.Request())
		require.NoError(t, os.Chmod(path, info.Mode().Perm()))
		require.ErrorIs(t, err, fs.ErrPermission)
		require.NotErrorIs(t, err, keys.ErrNoKey)
		require.ErrorContains(t, err, file)
		require.Nil(t, s)
	}
}

func TestANameThatCannotBeAFileHasNoKey(t *testing.T) {
	k := newKey(t, "acme")
	d := newDir(t, t.TempDir())
	for _, name := range []string{"..", "a//b", `a\b`, "a\x00", strings.Repeat("a", 256)} {
		for _, req := range []keys.Request{{App: name, KeyID: k.ID, Scheme: k.Scheme},
			{App: "acme", KeyID: name, Scheme: k.Scheme}} {
			_, err := d.Signer(t.Context(), req)
			require.ErrorIs(t, err, keys.ErrNoKey)
		}
	}
}

func TestKeysAreAddedReplacedAndRemovedWhileTheProgramRuns(t *testing.T) {
	first, second := newKey(t, "acme"), newKey(t, "acme")
	first.ID, second.ID = "online", "online"
	dir := t.TempDir()
	d := newDir(t, dir)
	_, err := d.Signer(t.Context(), first.Request())
	require.ErrorIs(t, err, keys.ErrNoKey)
	for _, k := range []keystest.Key{first, second} {
		write(t, dir, k)
		s, err := d.Signer(t.Context(), k.Request())
		require.NoError(t, err)
		public, err := s.Public(t.Context())
		require.NoError(t, err)
		assert.Equal(t, k.Private.Public(), public)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "acme", "online")))
	_, err = d.Signer(t.Context(), first.Request())
	require.ErrorIs(t, err, keys.ErrNoKey)
}

func TestAKeyThatIsReplacedAllTheTimeIsAlwaysThere(t *testing.T) {
	k := newKey(t, "acme")
	dir := t.TempDir()
	file := write(t, dir, k)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	d := newDir(t, dir)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		for ctx.Err() == nil {
			assert.NoError(t, os.Rename(writeFile(t, file+".new", data), file))
		}
	})
	for range 500 {
		_, err := d.Signer(t.Context(), k.Request())
		require.NoError(t, err)
	}
}

func TestARelativeFolderStaysWhereItWas(t *testing.T) {
	k := newKey(t, "acme")
	parent := t.TempDir()
	write(t, filepath.Join(parent, "keys"), k)
	t.Chdir(parent)
	d := newDir(t, "keys")
	t.Chdir(t.TempDir())
	_, err := d.Signer(t.Context(), k.Request())
	require.NoError(t, err)
}
