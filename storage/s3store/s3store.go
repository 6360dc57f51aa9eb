// Package s3store keeps objects in a bucket of Amazon S3, or of a service that is compatible with
// it, for any number of processes at once.
//
// It stands on S3's conditional writes: If-None-Match creates, If-Match replaces, and a version is
// an object's ETag. Not every service that calls itself compatible has them, or has them right;
// some take the headers and ignore them. [storage.Probe] tells. If-Match needs the right to read
// (s3:GetObject) besides that to write (s3:PutObject), and without the right to list
// (s3:ListBucket) S3 does not say whether an object is missing or forbidden, so that no new one can
// be told from a failure.
package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/internal/content"
)

// Options are optional.
type Options struct {
	Prefix string // comes before each key as it is, so a folder ends in a slash: "tuf/"
	Limit  int64  // the size in bytes of the largest object that Get returns; 0 means storage.DefaultLimit

	Encryption types.ServerSideEncryption // asked for in each write; "" leaves it to the bucket
	KMSKeyID   string                     // of the key for Encryption; "" leaves it to the service
}

// Store is a bucket. It is a Deleter, a Lister and a Clock too.
type Store struct {
	client *s3.Client
	bucket string
	opts   Options
	clock  clock
}

var (
	_ storage.Store   = (*Store)(nil)
	_ storage.Deleter = (*Store)(nil)
	_ storage.Lister  = (*Store)(nil)
	_ storage.Clock   = (*Store)(nil)
)

// New returns the Store of the bucket of that name, which client reaches. An invalid name or prefix
// makes every call fail.
func New(client *s3.Client, bucket string, opts Options) *Store {
	opts.Limit = cmp.Or(opts.Limit, storage.DefaultLimit)
	return &Store{client: client, bucket: bucket, opts: opts}
}

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := s.begin(ctx, "get", key); err != nil {
		return storage.Object{}, err
	}
	object, err := s.read(ctx, key, s.opts.Limit)
	if err != nil {
		return storage.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return object, nil
}

// Delete implements storage.Deleter.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, "delete", key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.name(key)}, s.watch)
	if err != nil && !isNoSuchKey(err) {
		return fmt.Errorf("delete %s: %w", key, failure(ctx, err))
	}
	return nil
}

// read reads an object that is not larger than limit. Its version is known even if the error is
// storage.ErrTooLarge.
func (s *Store) read(ctx context.Context, key string, limit int64) (storage.Object, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: s.name(key)}, s.watch)
	if isNoSuchKey(err) {
		return storage.Object{}, storage.ErrNotFound
	}
	if err != nil {
		return storage.Object{}, failure(ctx, err)
	}
	defer out.Body.Close()
	version, err := strongETag(out.ETag)
	if err != nil {
		return storage.Object{}, err
	}
	size := int64(-1)
	if out.ContentLength != nil {
		size = *out.ContentLength
	}
	data, fits, err := content.Read(out.Body, size, limit)
	if err != nil {
		return storage.Object{}, failure(ctx, err)
	}
	if !fits {
		return storage.Object{Version: version}, fmt.Errorf("%w of %d bytes", storage.ErrTooLarge, limit)
	}
	if size >= 0 && int64(len(data)) != size {
		return storage.Object{}, io.ErrUnexpectedEOF
	}
	return storage.Object{Data: data, Version: version}, nil
}

// begin is what every method asks first: may this key be used here, and is there still somebody who
// waits for the answer?
func (s *Store) begin(ctx context.Context, verb, key string) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if err := storage.CheckKey(s.opts.Prefix + key); err != nil {
		return fmt.Errorf("with its prefix: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}

// name is what the bucket calls the object at key.
func (s *Store) name(key string) *string { return aws.String(s.opts.Prefix + key) }

// strongETag returns an ETag that is good for If-Match.
func strongETag(etag *string) (storage.Version, error) {
	tag := aws.ToString(etag)
	if !isStrong(tag) {
		return storage.Absent, fmt.Errorf("service answered with no strong ETag but %q", tag)
	}
	return storage.Version(tag), nil
}

// isStrong refuses weak ETags, which name no bytes, and things like *, which If-Match takes for
// whatever is there.
func isStrong(tag string) bool {
	return len(tag) > 2 && tag[0] == '"' && strings.IndexByte(tag[1:], '"') == len(tag)-2
}

// isNoSuchKey tells that the service said so of the object. A 404 with another code, or none, may
// be about the bucket.
func isNoSuchKey(err error) bool {
	return status(err) == http.StatusNotFound && errorCode(err) == "NoSuchKey"
}

// errorCode returns the code of an answer that was an error, or "" if it has none.
func errorCode(err error) string {
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) {
		return ""
	}
	return coded.ErrorCode()
}

// status returns the HTTP status of an answer that was an error, or 0 if there was no answer.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.HTTPStatusCode()
}

// failure makes sure that an error that comes from the end of ctx is known by it, whatever the
// client made of it.
func failure(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}
