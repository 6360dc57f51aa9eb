//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// What lies in a workDir.
const (
	lockName   = "lock"
	tempPrefix = "new-"
)

const (
	lockPoll = 5 * time.Millisecond // how often a lock that another process holds is tried
	tempLife = 24 * time.Hour       // after which a file that is still being written belongs to nobody
)

// lock keeps all other processes, and goroutines of this one, from replacing or deleting objects in
// a folder.
func (s *Store) lock(ctx context.Context, dir string) (unlock func(), err error) {
	leave, err := s.locks.Lock(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	if err := s.prepare(dir); err != nil {
		return nil, err
	}
	file, err := s.lockFile(ctx, path.Join(dir, workDir, lockName))
	if err != nil {
		return nil, fmt.Errorf("locking folder %s: %w", dir, err)
	}
	s.sweep(dir)
	return func() { file.Close(); leave() }, nil
}

// lockFile locks a file. flock opens it by its path from outside, so see that this led to the file
// within the root.
func (s *Store) lockFile(ctx context.Context, name string) (*flock.Flock, error) {
	ours, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	file := flock.New(filepath.Join(s.root.Name(), name), flock.SetFlag(os.O_RDWR), flock.SetPermissions(fileMode))
	if _, err := file.TryLockContext(ctx, lockPoll); err != nil {
		return nil, err
	}
	want, err := ours.Stat()
	got, gotErr := file.Stat()
	if err = errors.Join(err, gotErr); err == nil && !os.SameFile(want, got) {
		err = errors.New("the directory, or the lock file in it, has been moved away")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// sweep removes what writers that died have left in a folder. It is no harm if it cannot, and that
// a writer which only slept for so long fails then is none either.
func (s *Store) sweep(dir string) {
	work := path.Join(dir, workDir)
	entries, _ := fs.ReadDir(s.root.FS(), work)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), tempPrefix) &&
			time.Since(info.ModTime()) > tempLife {
			_ = s.root.Remove(path.Join(work, e.Name()))
		}
	}
}

// prepare makes a folder with its workDir, and makes the path to them durable, also where another
// process has just begun to.
func (s *Store) prepare(dir string) error {
	work := path.Join(dir, workDir)
	if _, ok := s.ready.Load(dir); ok {
		if _, err := s.root.Lstat(work); err == nil {
			return nil
		}
	}
	if err := s.mkdir(work); err != nil {
		return err
	}
	s.ready.Store(dir, struct{}{})
	return nil
}

func (s *Store) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.sync(path.Dir(dir))
}

// sync makes a file's content, or a folder's entries, durable.
func (s *Store) sync(name string) error {
	f, err := s.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// mkdirAll makes a directory and those above it, durably.
func mkdirAll(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := mkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
