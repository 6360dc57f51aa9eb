//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Delete implements storage.Deleter. Folders stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, "delete", key); err != nil {
		return err
	}
	if err := s.delete(ctx, key); err != nil && !gone(err) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, key string) error {
	info, err := s.root.Lstat(key)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errors.New("it is a folder")
	}
	unlock, err := s.lock(ctx, path.Dir(key))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.root.Remove(key); err != nil {
		return err
	}
	return s.sync(path.Dir(key))
}

// List implements storage.Lister. Symbolic links are not followed.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	top := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		top = prefix[:i]
	}
	if !fs.ValidPath(top) {
		return nil, nil // no key begins so
	}
	var keys []string
	err := fs.WalkDir(s.root.FS(), top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && gone(err): // it never was, or has gone since its folder was read
			return nil
		case err != nil:
			return err
		case entry.IsDir() && strings.EqualFold(entry.Name(), workDir):
			return fs.SkipDir
		case entry.Type().IsRegular() && strings.HasPrefix(name, prefix) && checkKey(name) == nil:
			keys = append(keys, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	slices.Sort(keys) // a folder's entries come sorted, which is not the order of whole keys
	return keys, nil
}

// gone tells that a path does not exist, or leads through something that is no folder.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }
