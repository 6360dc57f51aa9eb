//go:build unix

package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
)

// Create implements storage.Store. Of many writers the one whose link(2) is first wins; no lock is
// taken.
func (s *Store) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	if err := begin(ctx, "create", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.create(ctx, key, data, storage.ErrExists)
	if err != nil {
		return storage.Absent, fmt.Errorf("create %s: %w", key, noPlace(err))
	}
	return version, nil
}

// Replace implements storage.Store. Those who replace files of one folder wait for each other.
func (s *Store) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	if err := begin(ctx, "replace", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.replace(ctx, key, old, data)
	if err != nil {
		return storage.Absent, fmt.Errorf("replace %s: %w", key, noPlace(err))
	}
	return version, nil
}

// create publishes data where nothing is. If other bytes are there, the error is refusal.
func (s *Store) create(ctx context.Context, key string, data []byte, refusal error) (storage.Version, error) {
	err := s.publish(ctx, key, data, s.root.Link)
	if !errors.Is(err, fs.ErrExist) {
		return storage.Version(content.Hash(data)), err
	}
	current, err := s.version(key)
	if errors.Is(err, errFolder) && errors.Is(refusal, storage.ErrExists) { // another name may be free
		return storage.Absent, fmt.Errorf("%w: a folder has that name", refusal)
	}
	if err != nil {
		return storage.Absent, err
	}
	if current == storage.Absent {
		return storage.Absent, errors.New("it exists, and then it does not: it was deleted, or is a link that leads nowhere")
	}
	return s.settle(key, current, data, refusal)
}

func (s *Store) replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	if old == storage.Absent { // no lock is needed, and a racing Create is kept out too
		return s.create(ctx, key, data, storage.ErrConflict)
	}
	unlock, err := s.lock(ctx, path.Dir(key))
	if err != nil {
		return storage.Absent, err
	}
	defer unlock()
	current, err := s.version(key)
	if err != nil {
		return storage.Absent, err
	}
	if current != old {
		return s.settle(key, current, data, storage.ErrConflict)
	}
	return storage.Version(content.Hash(data)), s.publish(ctx, key, data, s.root.Rename)
}

// settle answers a write that found another version than it was to replace: a success if it is what
// was to be written. Whoever wrote that may not have synced it yet.
func (s *Store) settle(key string, current storage.Version, data []byte, refusal error) (storage.Version, error) {
	if current != storage.Version(content.Hash(data)) {
		return storage.Absent, refusal
	}
	return current, errors.Join(s.sync(key), s.sync(path.Dir(key)))
}

// publish writes data to a file of its own, makes it durable, puts it at key with the one call that
// does so atomically, and makes that durable. A crash before the call leaves a file that nobody
// reads; after it, the object is there, whether or not the caller was told.
func (s *Store) publish(ctx context.Context, key string, data []byte, move func(from, to string) error) error {
	dir := path.Dir(key)
	if err := s.prepare(dir); err != nil {
		return err
	}
	temp := path.Join(dir, workDir, tempPrefix+rand.Text())
	defer s.root.Remove(temp) // after a rename it is gone
	if err := s.writeTemp(temp, data); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := move(temp, key); err != nil {
		return err
	}
	return s.sync(dir)
}

func (s *Store) writeTemp(name string, data []byte) error {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
