//go:build unix

// Package filestore keeps objects as files in a directory, for any number of processes on it at
// once.
//
// The file system has to have link(2), rename(2) and flock(2) that hold among all who use the
// directory. Local file systems do. On NFS the first two do, but locks depend on server and mount
// options (nolock, local_lock): [storage.Probe] sees only one process, so there let one host write,
// or use another store. Keys that differ only in case, or only in how Unicode composes them, are
// one file on some systems.
//
// An object at key k is the file k, mode 0644, which a web server may serve from the same
// directory. Beside it, in each folder that was written to, lies a folder .filestore with a lock
// file, which stays, and with files that are being written. A crash may leave one of those behind:
// it is never read, and a Replace or Delete in that folder removes it after a day.
package filestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
	"github.com/tufonline/tufonline/storage/internal/keylock"
)

const (
	fileMode = 0o644
	dirMode  = 0o755

	// workDir is the folder in each folder for what is not an object. No key may name it.
	workDir = ".filestore"
)

// Options are optional.
type Options struct {
	CreateDir bool  // make the directory, and those above it, if it does not exist
	Limit     int64 // the size in bytes of the largest object that Get returns; 0 means storage.DefaultLimit
}

// Store is a directory. It is a Deleter and a Lister too.
type Store struct {
	root  *os.Root // nothing outside is read or written, whatever symbolic links say
	limit int64
	locks keylock.Set // by folder, so that the goroutines of this process queue up instead of polling the lock file
	ready sync.Map    // the folders that have a workDir and whose path is durable: string to struct{}
}

var (
	_ storage.Store   = (*Store)(nil)
	_ storage.Deleter = (*Store)(nil)
	_ storage.Lister  = (*Store)(nil)
)

// New returns the Store of the files in dir. It has to be closed.
func New(dir string, opts Options) (*Store, error) {
	if opts.Limit < 0 {
		return nil, fmt.Errorf("limit of %d bytes", opts.Limit)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if opts.CreateDir {
		if err := mkdirAll(dir); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Store{root: root, limit: cmp.Or(opts.Limit, storage.DefaultLimit)}, nil
}

// Dir returns the path of the directory when it was opened, which is absolute.
func (s *Store) Dir() string { return s.root.Name() }

// Close releases the directory. Calls that are under way may fail.
func (s *Store) Close() error { return s.root.Close() }

// Driver opens URLs such as file:///var/lib/tuf?create_dir=true. The host is empty, localhost, or a
// dot, which makes the path relative to the working directory.
func Driver() storage.Driver { return storage.Driver{Scheme: "file", Open: open} }

func open(_ context.Context, u *url.URL, limit int64) (storage.Store, error) {
	if err := storage.CheckParams(u, "create_dir"); err != nil {
		return nil, err
	}
	dir := u.Path
	switch u.Host {
	case "", "localhost":
	case ".":
		dir = cmp.Or(strings.TrimPrefix(dir, "/"), ".")
	default:
		return nil, fmt.Errorf("host %q: a path has three slashes before it, as in file:///var/lib/tuf", u.Host)
	}
	if dir == "" {
		return nil, errors.New("no path, as in file:///var/lib/tuf")
	}
	opts := Options{Limit: limit}
	if value := u.Query().Get("create_dir"); value != "" {
		create, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("query parameter create_dir=%q: neither true nor false", value)
		}
		opts.CreateDir = create
	}
	return New(dir, opts)
}

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := begin(ctx, "get", key); err != nil {
		return storage.Object{}, err
	}
	f, info, err := s.openObject(key)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, noPlace(err))
	}
	defer f.Close()
	data, fits, err := content.Read(f, info.Size(), s.limit)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	if !fits {
		return storage.Object{}, fmt.Errorf("get %s: %w of %d bytes", key, storage.ErrTooLarge, s.limit)
	}
	return storage.Object{Data: data, Version: storage.Version(content.Hash(data))}, nil
}

var errFolder = errors.New("a folder has that name")

// noPlace returns an error that wraps storage.ErrInvalidKey if err says that no object can be at a
// key: a folder has that name, a file has the name of one of its folders, or the file system takes
// no name of that length. Other errors it returns as they are.
func noPlace(err error) error {
	for _, reason := range []error{errFolder, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, reason) {
			return fmt.Errorf("%w: %w", storage.ErrInvalidKey, err)
		}
	}
	return err
}

// openObject opens the file at key. The error is storage.ErrNotFound if nothing has that name, and
// errFolder if a folder has.
func (s *Store) openObject(key string) (*os.File, fs.FileInfo, error) {
	f, err := s.root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not stop us
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, s.notFound()
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errFolder
	} else if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no file, but %s", info.Mode().Type())
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// notFound is storage.ErrNotFound, unless somebody has removed the whole directory, in which
// nothing exists and nothing is proven.
func (s *Store) notFound() error {
	info, err := s.root.Stat(".")
	if err != nil {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Nlink == 0 {
		return fmt.Errorf("the directory %s has been removed", s.root.Name())
	}
	return storage.ErrNotFound
}

// version returns the version of the object at key, of any size, and Absent if there is none.
func (s *Store) version(key string) (storage.Version, error) {
	f, _, err := s.openObject(key)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Absent, nil
	}
	if err != nil {
		return storage.Absent, err
	}
	defer f.Close()
	hash, err := content.HashOf(f)
	return storage.Version(hash), err
}

// begin is what every method asks first: may this key be used here, and is there still somebody who
// waits for the answer?
func begin(ctx context.Context, verb, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}

func checkKey(key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(key, "/") {
		if strings.EqualFold(segment, workDir) { // some file systems fold case
			return fmt.Errorf("%w: %q holds the reserved name %s", storage.ErrInvalidKey, key, workDir)
		}
	}
	return nil
}
