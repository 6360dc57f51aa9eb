// Package storage is where a TUF repository's files lie: the [Store] interface with its three
// verbs, and [Memory].
//
// A Store is what makes concurrent signers safe. Two verbs write, both conditionally:
// [Store.Create] makes a file that never changes again, [Store.Replace] swaps one that does if it
// is still the one that the caller read. No lock is needed around them.
//
// Other stores are in packages of their own. filestore (a directory), s3store (Amazon S3 and
// compatible services) and sqlstore (a table in SQLite or Postgres) are atomic among processes,
// bucketstore (any gocloud bucket) only within one. [Open] opens a store from a URL. [Probe] tries
// out a store that is new to a deployment. Package storagetest holds the suite that every Store
// passes.
package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Version names one state of one object. It is opaque, comes from the store, and is only good for
// [Store.Replace] on the same key of the same store. Every write of different bytes gives a
// different Version.
type Version string

// Absent is the Version of an object that does not exist.
const Absent Version = ""

// An Object is what a key held at one moment.
type Object struct {
	Data    []byte  // belongs to the caller
	Version Version // never Absent
}

// A Store keeps objects under keys (see [CheckKey]). Its methods may be called from many goroutines
// at once, and other processes may use the same storage at the same time.
//
// Writes are atomic among all writers and readers, durable once they return nil, and succeed when
// the object already holds those very bytes, so that a caller may repeat a write whose answer was
// lost. An error that is none of the sentinels below means that the outcome is unknown: the write
// may have landed, or may still land; read again. No method keeps data after it returned. All
// return soon after ctx ends.
//
// A write whose outcome is unknown must not land once another writer has written the key. A store
// whose service cannot refuse such a write keeps the key locked until the write has ended.
//
// In a store with folders, no object can be at a key that is a folder, or that lies below another
// object. Create of a folder returns ErrExists, so that a caller tries the next number. The other
// calls return ErrInvalidKey if the store can tell.
type Store interface {
	// Get returns the object at key. The error is ErrNotFound only where the store said that there
	// is none (never after a failure to ask), and ErrTooLarge for an object over the store's limit,
	// of which at most the limit has been read. A Get that begins after a write returned nil sees
	// that write, or a later one.
	Get(ctx context.Context, key string) (Object, error)

	// Create writes an object that will never change again, to be cached by clients for ever.
	// ErrExists if key holds other bytes, or is a folder.
	Create(ctx context.Context, key string, data []byte) (Version, error)

	// Replace writes an object that will be replaced again, and that clients are told not to cache,
	// provided that key still holds the version old, or nothing if old is Absent. Otherwise
	// ErrConflict, except that it succeeds if key holds these very bytes already.
	Replace(ctx context.Context, key string, old Version, data []byte) (Version, error)
}

// A Deleter is a Store that can remove objects. Deleting what is not there succeeds. [As] finds it
// and the other optional interfaces, also behind a wrapper.
type Deleter interface {
	Delete(ctx context.Context, key string) error
}

// A Lister is a Store that can list keys. No signing depends on it.
type Lister interface {
	// List returns the keys that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
}

// A SingleProcess is a Store whose writes are atomic only among the users of one value in one
// process.
type SingleProcess interface {
	SingleProcess()
}

// A Clock is a Store whose service tells the time in its answers.
type Clock interface {
	// Skew returns how far the service's clock is ahead of this machine's, by the time that the
	// newest answer bore. It is negative if the clock is behind, and exact to a few seconds. Skew
	// makes no request. known is false before the first answer.
	Skew() (ahead time.Duration, known bool)
}

// The errors of a Store, to be tested with errors.Is.
var (
	ErrNotFound       = errors.New("no such object")
	ErrExists         = errors.New("object exists with other content")
	ErrConflict       = errors.New("object has changed")
	ErrTooLarge       = errors.New("object is larger than the limit")
	ErrInvalidKey     = errors.New("invalid key")
	ErrNoAtomicWrites = errors.New("store does not write atomically")
)

// DefaultLimit is the size in bytes of the largest object that a store reads unless it is told
// otherwise.
const DefaultLimit int64 = 256 << 20

// What the two writing verbs tell HTTP caches.
const (
	CacheImmutable = "public, max-age=31536000, immutable" // Create
	CacheNever     = "no-store"                            // Replace
)

// ContentType returns the media type of the object at key.
func ContentType(key string) string {
	if strings.HasSuffix(key, ".json") {
		return "application/json"
	}
	return "application/octet-stream"
}

// maxKeyLength is what S3 takes, in bytes.
const maxKeyLength = 1024

// CheckKey returns an error that wraps ErrInvalidKey unless key is a relative path of plain
// segments separated by single slashes: valid UTF-8 without control characters or backslashes, no
// segment empty, "." or "..", at most 1024 bytes. Every Store refuses other keys, and may refuse
// more.
func CheckKey(key string) error {
	if len(key) > maxKeyLength {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidKey, len(key), maxKeyLength)
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("%w: %q is not UTF-8", ErrInvalidKey, key)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) {
		return fmt.Errorf("%w: %q holds a control character or a backslash", ErrInvalidKey, key)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%w: %q has the segment %q", ErrInvalidKey, key, segment)
		}
	}
	return nil
}
