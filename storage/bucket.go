package storage

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

	"github.com/tufonline/tufonline/storage/internal/content"
	"github.com/tufonline/tufonline/storage/internal/keylock"
)

// Bucket is a Store on any gocloud bucket. gocloud has no way to replace an object only if it is
// still the same one, and not every driver's "if it does not exist" holds in a race, so Bucket
// keeps a lock for each key: it is atomic among the users of one Bucket value in one process, and
// among nobody else. Where several processes write, use a store that is native to the service, such
// as s3store or filestore.
//
// Writes are as durable as the bucket makes them; gocloud's fileblob, for one, does not sync its
// files. Bucket is a Deleter and a Lister too.
type Bucket struct {
	// Limit is the size in bytes of the largest object that Get returns; 0 means DefaultLimit. Set
	// it before the first use.
	Limit int64

	bucket *blob.Bucket
	locks  keylock.Set
	seen   atomic.Bool // the bucket itself has been seen to exist
}

var (
	_ Store         = (*Bucket)(nil)
	_ Deleter       = (*Bucket)(nil)
	_ Lister        = (*Bucket)(nil)
	_ SingleProcess = (*Bucket)(nil)
)

// NewBucket returns a Store on b, which the caller closes when the Store is no longer used. All who
// write to b in this process have to share the one Bucket.
func NewBucket(b *blob.Bucket) *Bucket { return &Bucket{bucket: b} }

// SingleProcess says that writers in other processes are not kept apart.
func (b *Bucket) SingleProcess() {}

// Get implements Store.
func (b *Bucket) Get(ctx context.Context, key string) (Object, error) {
	if err := ready(ctx, "get", key); err != nil {
		return Object{}, err
	}
	unlock, err := b.locks.RLock(ctx, key) // not every driver lets one read while another writes
	if err != nil {
		return Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	defer unlock()
	object, err := b.read(ctx, key)
	if err != nil {
		return Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

// Create implements Store.
func (b *Bucket) Create(ctx context.Context, key string, data []byte) (Version, error) {
	if err := ready(ctx, "create", key); err != nil {
		return Absent, err
	}
	version, err := b.swap(ctx, key, Absent, data, CacheImmutable, ErrExists)
	if err != nil {
		return Absent, fmt.Errorf("create %s: %w", key, err)
	}
	return version, nil
}

// Replace implements Store.
func (b *Bucket) Replace(ctx context.Context, key string, old Version, data []byte) (Version, error) {
	if err := ready(ctx, "replace", key); err != nil {
		return Absent, err
	}
	version, err := b.swap(ctx, key, old, data, CacheNever, ErrConflict)
	if err != nil {
		return Absent, fmt.Errorf("replace %s: %w", key, err)
	}
	return version, nil
}

// swap writes data if key holds the version old. If it holds something else than that or data, the
// error is refusal.
func (b *Bucket) swap(ctx context.Context, key string, old Version, data []byte, cache string, refusal error) (Version,
	error) {
	unlock, err := b.locks.Lock(ctx, key)
	if err != nil {
		return Absent, err
	}
	defer unlock()

	written := Version(content.Hash(data))
	current, err := b.version(ctx, key)
	if err != nil {
		return Absent, err
	}
	if current == written {
		return written, nil
	}
	if current != old {
		return Absent, refusal
	}
	err = b.write(ctx, key, data, blob.WriterOptions{
		ContentType:  ContentType(key),
		CacheControl: cache,
		IfNotExist:   old == Absent, // the lock has settled it, unless there are writers that there should not be
	})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return Absent, fmt.Errorf("%w (by a writer that is not a user of this Bucket)", refusal)
	}
	if err != nil {
		return Absent, err
	}
	return written, nil
}

// write writes an object. Closing a gocloud writer commits what it was given, so after a failure
// its context has to end first.
func (b *Bucket) write(ctx context.Context, key string, data []byte, opts blob.WriterOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.bucket.NewWriter(ctx, key, &opts)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		cancel()
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// read reads an object that is not larger than the limit.
func (b *Bucket) read(ctx context.Context, key string) (Object, error) {
	r, err := b.open(ctx, key)
	if err != nil {
		return Object{}, err
	}
	defer r.Close()
	limit := cmp.Or(b.Limit, DefaultLimit)
	data, fits, err := content.Read(r, r.Size(), limit)
	if err != nil {
		return Object{}, err
	}
	if !fits {
		return Object{}, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
	}
	return Object{Data: data, Version: Version(content.Hash(data))}, nil
}

// version returns the version of an object of any size, and Absent if there is none.
func (b *Bucket) version(ctx context.Context, key string) (Version, error) {
	r, err := b.open(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Absent, nil
	}
	if err != nil {
		return Absent, err
	}
	defer r.Close()
	hash, err := content.HashOf(r)
	return Version(hash), err
}

// open starts to read an object. Drivers say "not found" of a whole bucket too, which proves
// nothing about the object.
func (b *Bucket) open(ctx context.Context, key string) (*blob.Reader, error) {
	r, err := b.bucket.NewReader(ctx, key, nil)
	if err == nil {
		b.seen.Store(true)
		return r, nil
	}
	if gcerrors.Code(err) != gcerrors.NotFound {
		return nil, err
	}
	if !b.seen.Load() {
		accessible, err := b.bucket.IsAccessible(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking whether there is a bucket: %w", err)
		}
		if !accessible {
			return nil, errors.New("there is no such bucket")
		}
		b.seen.Store(true)
	}
	return nil, ErrNotFound
}

// Delete implements Deleter.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := ready(ctx, "delete", key); err != nil {
		return err
	}
	unlock, err := b.locks.Lock(ctx, key)
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	defer unlock()
	if err := b.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// List implements Lister. What lies in the bucket under names that are no keys is left out.
func (b *Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil { // not every driver looks
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	if !beginsKeys(prefix) {
		return nil, nil // drivers may refuse to look
	}
	var keys []string
	for objects := b.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(keys) // by bytes, whatever the service's own order is
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", prefix, err)
		}
		if CheckKey(object.Key) == nil {
			keys = append(keys, object.Key)
		}
	}
}

// beginsKeys tells whether there can be keys that begin with prefix.
func beginsKeys(prefix string) bool { return CheckKey(prefix) == nil || CheckKey(prefix+"x") == nil }
