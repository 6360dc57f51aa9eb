package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

const (
	maxFileName = 255 // bytes, as most file systems have it
	maxReads    = 10  // of a file that is being replaced
)

// Dir is a Provider that finds private keys in a folder, as files <app>/<key ID>: the keys of the
// app acme/desktop lie in acme/desktop. Where file names ignore case, so do the names of apps.
//
// A file holds one private key that is not encrypted, as PEM (PKCS #8; PKCS #1 for RSA; SEC 1 for
// ECDSA), or an Ed25519 seed as 32 bytes or as 64 hexadecimal digits, with or without a newline. It
// is read for each request, so that keys can be added, replaced and removed while the program runs,
// and is at most 64 KiB.
//
// A missing file is ErrNoKey. So is an app or a key ID that cannot name a file, since it is no path
// of plain segments. Everything else is another error, so that no role passes for offline because
// its key cannot be read:
//
//   - a folder that has gone missing;
//   - a symbolic link at any place below the folder;
//   - anything that is not a regular file;
//   - a file that others may read;
//   - a file that holds something else.
//
// Errors name the file, never its content.
//
// Its methods may be called from many goroutines at once.
type Dir struct {
	path    string
	options DirOptions
}

// DirOptions say how a Dir differs from the default.
type DirOptions struct {
	// Shared allows key files on which group or others have any permission. On systems whose files
	// have no such permissions, no file is read without it.
	Shared bool

	// Flat has the files of all apps lie side by side, as <key ID>. It is only for apps that all
	// have the same owner: an owner who may declare the keys of one app's roles may declare another
	// app's, and have documents signed with them.
	Flat bool
}

var _ Provider = (*Dir)(nil)

// NewDir returns a Dir of the folder at path. The error says that there is no such folder, or that
// it cannot be opened.
func NewDir(path string, options DirOptions) (*Dir, error) {
	path, err := filepath.Abs(path) // the working directory may change
	if err != nil {
		return nil, fmt.Errorf("folder of keys: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("folder of keys: %w", err)
	}
	// It is opened anew for each request: while it is held, a folder that was put in its place
	// would not be seen.
	return &Dir{path: path, options: options}, root.Close()
}

// Signer implements Provider. The signer signs as req.Scheme asks.
func (d *Dir) Signer(ctx context.Context, req Request) (Signer, error) {
	s, err := d.signer(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("app %q: key %q: %w", req.App, req.KeyID, err)
	}
	return s, nil
}

func (d *Dir) signer(ctx context.Context, req Request) (Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.Scheme == "" {
		return nil, errors.New("the request has no scheme")
	}
	if strings.Contains(req.KeyID, "/") || !plain(req.KeyID) || !plain(req.App) {
		return nil, fmt.Errorf("%w: it cannot have a file", ErrNoKey)
	}
	name := path.Join(req.App, req.KeyID)
	if d.options.Flat {
		name = req.KeyID
	}
	s, err := d.load(name, req.Scheme)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.path, filepath.FromSlash(name)), err)
	}
	return s, nil
}

// load makes a signer of the file at a plain path.
func (d *Dir) load(name, scheme string) (Signer, error) {
	data, err := d.read(name)
	for n := 1; errors.Is(err, errChanged) && n < maxReads; n++ {
		data, err = d.read(name)
	}
	if err != nil {
		return nil, err
	}
	private, err := parsePrivate(data)
	if err != nil {
		return nil, err
	}
	return NewSigner(private, scheme)
}

// plain reports whether a slash-separated path has only segments that every system takes for a
// file's name and nothing more.
func plain(name string) bool {
	if !fs.ValidPath(name) || strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || len(segment) > maxFileName {
			return false
		}
	}
	_, err := filepath.Localize(name)
	return err == nil
}
