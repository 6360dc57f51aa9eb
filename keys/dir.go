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

	"github.com/sigstore/sigstore/pkg/signature"
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
// A file that is missing is ErrNoKey, and so is one that has to be, since the app or the key ID is
// no path of plain segments. All else is another error, lest a role pass for offline because its
// key cannot be read: a folder that has gone missing, a symbolic link at any place below it, what
// is not a regular file, one that others may read, one that holds something else. Errors name the
// file, never what is in it.
//
// Its methods may be called from many goroutines at once.
type Dir struct {
	// Shared allows key files on which group or others have any permission. On systems whose files
	// have no such permissions, no file is read without it. To be set before first use.
	Shared bool

	// Flat has the files of all apps lie side by side, as <key ID>. Then whoever may declare the
	// keys of one app's roles may declare another's, and have what they like signed with it: it is
	// only for apps that all have the same owner. To be set before first use.
	Flat bool

	path string
}

var _ Provider = (*Dir)(nil)

// NewDir returns a Dir of the folder at path. The error says that there is no such folder, or that
// it cannot be opened.
func NewDir(path string) (*Dir, error) {
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
	return &Dir{path: path}, root.Close()
}

// Signer implements Provider. The signer signs as the scheme of req.Key asks.
func (d *Dir) Signer(ctx context.Context, req Request) (signature.Signer, error) {
	s, err := d.signer(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("app %q: key %q: %w", req.App, req.KeyID, err)
	}
	return s, nil
}

func (d *Dir) signer(ctx context.Context, req Request) (signature.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.Key == nil {
		return nil, errors.New("the request has no key object")
	}
	if strings.Contains(req.KeyID, "/") || !plain(req.KeyID) || !plain(req.App) {
		return nil, fmt.Errorf("%w: it cannot have a file", ErrNoKey)
	}
	name := path.Join(req.App, req.KeyID)
	if d.Flat {
		name = req.KeyID
	}
	s, err := d.load(name, req.Key.Scheme)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(d.path, filepath.FromSlash(name)), err)
	}
	return s, nil
}

// load makes a signer of the file at a plain path.
func (d *Dir) load(name, scheme string) (signature.Signer, error) {
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
