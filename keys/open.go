package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	maxKeyFile   = 64 << 10 // bytes; an RSA key of 16,384 bits takes 13,000
	sharedAccess = 0o077    // permissions of group and others
)

// errChanged: what was opened is not what was looked at, since somebody replaced it in between.
var errChanged = errors.New("replaced while it was being opened")

// read returns the content of the file at a plain path. os.Root keeps what is opened inside the
// folder, but follows links there, so one app's folder could lead to another's: each step is looked
// at, may not be a link, and has to be the same still once it is open.
func (d *Dir) read(name string) ([]byte, error) {
	folder, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("folder of keys: %w", err)
	}
	defer func() { folder.Close() }()
	segments := strings.Split(name, "/")
	last := len(segments) - 1
	for _, segment := range segments[:last] {
		seen, err := look(folder, segment, fs.ModeDir)
		if err != nil {
			return nil, err
		}
		next, err := openFolder(folder, segment, seen)
		if err != nil {
			return nil, err
		}
		folder.Close()
		folder = next
	}
	seen, err := look(folder, segments[last], 0) // before it is opened, since opening a pipe may take for ever
	if err != nil {
		return nil, err
	}
	f, err := openFile(folder, segments[last], seen)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return d.readFile(f)
}

func (d *Dir) readFile(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&sharedAccess != 0 && !d.options.Shared {
		return nil, fmt.Errorf("others than its owner have access to it: its mode is %04o, and should be 0600 or 0400", mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxKeyFile)
	}
	return data, nil
}

// look returns what lies at name, without following it, if it is of the type wanted.
func look(folder *os.Root, name string, want fs.FileMode) (fs.FileInfo, error) {
	info, err := folder.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoKey
	}
	if err != nil {
		return nil, err
	}
	if got := info.Mode().Type(); got != want {
		return nil, fmt.Errorf("%q is %s, not %s", name, kind(got), kind(want))
	}
	return info, nil
}

func kind(mode fs.FileMode) string {
	switch mode {
	case 0:
		return "a regular file"
	case fs.ModeDir:
		return "a folder"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}

// openFolder opens the folder at name, which has to be the one that was seen there.
func openFolder(parent *os.Root, name string, seen fs.FileInfo) (*os.Root, error) {
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return nil, gone(err)
	}
	info, err := folder.Stat(".")
	if err == nil && !os.SameFile(seen, info) {
		err = errChanged
	}
	if err != nil {
		folder.Close()
		return nil, err
	}
	return folder, nil
}

// openFile opens the file at name, which has to be the one that was seen there.
func openFile(folder *os.Root, name string, seen fs.FileInfo) (*os.File, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, gone(err)
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = errChanged
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// gone is the error of opening what was just seen.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errChanged
	}
	return err
}
