// Package bucketstore keeps objects in any gocloud bucket, for one process.
//
// gocloud cannot replace an object on the condition that it is unchanged. Its "if it does not
// exist" does not hold in a race with every driver. A Store therefore keeps a lock for each key.
// Its writes are atomic among the users of one Store, and not among processes. Where several
// processes write, use a store that is native to the service, such as s3store or filestore.
package bucketstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
	"github.com/tufonline/tufonline/storage/internal/keylock"
)

// Options are optional.
type Options struct {
	Limit int64 // the size in bytes of the largest object that Get returns; 0 means storage.DefaultLimit
}

// Store is a gocloud bucket. It is a Deleter and a Lister too.
//
// A write that was begun is not cancelled with its context. Its key stays locked until the bucket's
// driver has answered, and a write that the driver reported as failed must not land later. Writes
// are as durable as the bucket makes them; gocloud's fileblob, for one, does not sync its files.
type Store struct {
	bucket *blob.Bucket
	limit  int64
	locks  keylock.Set
	seen   atomic.Bool // the bucket itself has been seen to exist
}

var (
	_ storage.Store         = (*Store)(nil)
	_ storage.Deleter       = (*Store)(nil)
	_ storage.Lister        = (*Store)(nil)
	_ storage.SingleProcess = (*Store)(nil)
)

// New returns the Store of the objects in b, which the caller closes when the Store is no longer
// used. All users of b in this process have to share the one Store.
func New(b *blob.Bucket, opts Options) *Store {
	return &Store{bucket: b, limit: cmp.Or(opts.Limit, storage.DefaultLimit)}
}

// SingleProcess says that writers in other processes are not kept apart.
func (s *Store) SingleProcess() {}

// Get implements storage.Store. It waits for a write to the key.
func (s *Store) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := begin(ctx, "get", key); err != nil {
		return storage.Object{}, err
	}
	unlock, err := s.locks.RLock(ctx, key) // not every driver lets one read while another writes
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	defer unlock()
	object, err := s.read(ctx, key)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

// List implements storage.Lister. Objects whose names are no keys are left out.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil { // not every driver looks
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	if !beginsKeys(prefix) {
		return nil, nil // drivers may refuse to look
	}
	var keys []string
	for objects := s.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(keys) // by bytes, whatever the service's own order is
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", prefix, err)
		}
		if storage.CheckKey(object.Key) == nil {
			keys = append(keys, object.Key)
		}
	}
}

// beginsKeys tells whether there can be keys that begin with prefix.
func beginsKeys(prefix string) bool {
	return storage.CheckKey(prefix) == nil || storage.CheckKey(prefix+"x") == nil
}

// read reads an object that is not larger than the limit.
func (s *Store) read(ctx context.Context, key string) (storage.Object, error) {
	r, err := s.open(ctx, key)
	if err != nil {
		return storage.Object{}, err
	}
	defer r.Close()
	data, fits, err := content.Read(r, r.Size(), s.limit)
	if err != nil {
		return storage.Object{}, err
	}
	if !fits {
		return storage.Object{}, fmt.Errorf("%w of %d bytes", storage.ErrTooLarge, s.limit)
	}
	return storage.Object{Data: data, Version: storage.Version(content.Hash(data))}, nil
}

// version returns the version of an object of any size, and Absent if there is none.
func (s *Store) version(ctx context.Context, key string) (storage.Version, error) {
	r, err := s.open(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Absent, nil
	}
	if err != nil {
		return storage.Absent, err
	}
	defer r.Close()
	hash, err := content.HashOf(r)
	return storage.Version(hash), err
}

// open starts to read an object. Drivers say "not found" of a whole bucket too, which proves
// nothing about the object.
func (s *Store) open(ctx context.Context, key string) (*blob.Reader, error) {
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err == nil {
		s.seen.Store(true)
		return r, nil
	}
	if gcerrors.Code(err) != gcerrors.NotFound {
		return nil, err
	}
	if !s.seen.Load() {
		accessible, err := s.bucket.IsAccessible(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking whether there is a bucket: %w", err)
		}
		if !accessible {
			return nil, errors.New("there is no such bucket")
		}
		s.seen.Store(true)
	}
	return nil, storage.ErrNotFound
}

// begin checks the key and that ctx has not ended. Every method calls it first.
func begin(ctx context.Context, verb, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}
