package bucketstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
)

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	if err := begin(ctx, "create", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.swap(ctx, key, storage.Absent, data, storage.CacheImmutable, storage.ErrExists)
	if err != nil {
		return storage.Absent, fmt.Errorf("create %s: %w", key, err)
	}
	return version, nil
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	if err := begin(ctx, "replace", key); err != nil {
		return storage.Absent, err
	}
	version, err := s.swap(ctx, key, old, data, storage.CacheNever, storage.ErrConflict)
	if err != nil {
		return storage.Absent, fmt.Errorf("replace %s: %w", key, err)
	}
	return version, nil
}

// Delete implements storage.Deleter.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, "delete", key); err != nil {
		return err
	}
	err := s.alone(ctx, key, func() error { return s.bucket.Delete(context.WithoutCancel(ctx), key) })
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// swap writes data if key holds the version old. It succeeds if key holds data already, and returns
// refusal if key holds anything else.
func (s *Store) swap(ctx context.Context, key string, old storage.Version, data []byte, cache string,
	refusal error) (storage.Version, error) {
	written := storage.Version(content.Hash(data))
	opts := blob.WriterOptions{
		ContentType:  storage.ContentType(key),
		CacheControl: cache,
		IfNotExist:   old == storage.Absent, // the lock has settled it, unless another process writes, which it must not
	}
	data = bytes.Clone(data) // the write may outlast the call
	err := s.alone(ctx, key, func() error {
		current, err := s.version(ctx, key)
		if err != nil || current == written {
			return err
		}
		if current != old {
			return refusal
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err = s.write(context.WithoutCancel(ctx), key, data, opts)
		if gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return fmt.Errorf("%w (by a writer that is not a user of this Store)", refusal)
		}
		return err
	})
	if err != nil {
		return storage.Absent, err
	}
	return written, nil
}

// alone runs change while no other user of s reads or writes key. It returns soon after ctx ends,
// but key stays locked until change returns. Otherwise an upload that lands late would overwrite a
// later writer's.
func (s *Store) alone(ctx context.Context, key string, change func() error) error {
	unlock, err := s.locks.Lock(ctx, key)
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		defer unlock()
		defer func() {
			if r := recover(); r != nil { // the caller cannot recover it on this goroutine
				result <- fmt.Errorf("panic: %v", r)
			}
		}()
		result <- change()
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write writes an object. Closing a gocloud writer commits what it was given, so after a failure
// its context has to end first.
func (s *Store) write(ctx context.Context, key string, data []byte, opts blob.WriterOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.bucket.NewWriter(ctx, key, &opts)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		cancel()
		return errors.Join(err, w.Close())
	}
	return w.Close()
}
