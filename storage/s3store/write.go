package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tufonline/tufonline/storage"
)

// How often a write is tried that the service would not decide, since others wrote at the same
// time.
const (
	maxTries  = 8
	firstWait = 50 * time.Millisecond // doubles each time, less a random part
	lastWait  = 2 * time.Second
)

// Create implements storage.Store.
func (s *Store) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	if err := s.begin(ctx, "create", key); err != nil {
		return storage.Absent, err
	}
	w := write{s, key, storage.Absent, bytes.Clone(data), storage.CacheImmutable}
	version, err := w.run(ctx, storage.ErrExists)
	if err != nil {
		return storage.Absent, fmt.Errorf("create %s: %w", key, err)
	}
	return version, nil
}

// Replace implements storage.Store.
func (s *Store) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	if err := s.begin(ctx, "replace", key); err != nil {
		return storage.Absent, err
	}
	if old != storage.Absent && !isStrong(string(old)) {
		return storage.Absent, fmt.Errorf("replace %s: version %q is none of this store's", key, old)
	}
	w := write{s, key, old, bytes.Clone(data), storage.CacheNever}
	version, err := w.run(ctx, storage.ErrConflict)
	if err != nil {
		return storage.Absent, fmt.Errorf("replace %s: %w", key, err)
	}
	return version, nil
}

// A write puts data where the version old is.
type write struct {
	*Store
	key   string
	old   storage.Version
	data  []byte // nobody else's: an HTTP client may still read it after the call, when the context has ended
	cache string
}

// run writes. If something else than old and data turns out to be there, the error is refusal.
// Services on a file system, such as VersityGW, also answer that a folder is in the way.
//
// An answer that the condition does not hold proves nothing by itself. The client repeats requests
// whose answer was lost, and then meets what it wrote itself; some services answer so while another
// write is under way. What is there decides.
func (w write) run(ctx context.Context, refusal error) (storage.Version, error) {
	lost := false // an earlier answer to this write
	for try := 1; ; try++ {
		version, requests, err := w.put(ctx)
		switch errorCode(err) {
		case "ExistingObjectIsDirectory", "XMinioObjectExistsAsDirectory":
			if !errors.Is(refusal, storage.ErrExists) {
				refusal = storage.ErrInvalidKey
			}
			return storage.Absent, fmt.Errorf("%w: a folder has that name: %w", refusal, err)
		case "ObjectParentIsFile", "XMinioParentIsObject":
			return storage.Absent, fmt.Errorf("%w: an object has the name of its folder: %w", storage.ErrInvalidKey, err)
		}
		if !isUndecided(err) {
			return version, err
		}
		lost = lost || requests > 1
		current, same, readErr := w.current(ctx)
		switch {
		case readErr != nil:
			return storage.Absent, fmt.Errorf("reading back after %w: %w", err, readErr)
		case same:
			return current, nil
		case current != w.old && lost && errors.Is(refusal, storage.ErrConflict):
			return storage.Absent, fmt.Errorf("it was replaced, perhaps after this write, one answer to which was lost: %w", err)
		case current != w.old:
			return storage.Absent, refusal
		case try == maxTries:
			return storage.Absent, fmt.Errorf("undecided after %d tries: %w", try, err)
		}
		if err := pause(ctx, try); err != nil {
			return storage.Absent, err
		}
	}
}

// put makes one conditional write, and tells how many requests the client needed for it.
func (w write) put(ctx context.Context) (version storage.Version, requests int, err error) {
	in := &s3.PutObjectInput{
		Bucket:               &w.bucket,
		Key:                  w.name(w.key),
		Body:                 bytes.NewReader(w.data),
		ContentLength:        aws.Int64(int64(len(w.data))),
		ContentType:          aws.String(storage.ContentType(w.key)),
		CacheControl:         &w.cache,
		ServerSideEncryption: w.opts.Encryption,
	}
	if w.opts.KMSKeyID != "" {
		in.SSEKMSKeyId = &w.opts.KMSKeyID
	}
	if w.old == storage.Absent {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = aws.String(string(w.old))
	}
	out, err := w.client.PutObject(ctx, in, w.watch, func(o *s3.Options) {
		o.HTTPClient = counter{o.HTTPClient, &requests}
	})
	if err != nil {
		return storage.Absent, requests, failure(ctx, err)
	}
	version, err = strongETag(out.ETag)
	return version, requests, err
}

// current returns the version of what is there, Absent if nothing is, and whether it is what this
// write was to write.
func (w write) current(ctx context.Context) (version storage.Version, same bool, err error) {
	object, err := w.read(ctx, w.key, int64(len(w.data)))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return storage.Absent, false, nil
	case errors.Is(err, storage.ErrTooLarge):
		return object.Version, false, nil
	case err != nil:
		return storage.Absent, false, err
	}
	return object.Version, bytes.Equal(object.Data, w.data), nil
}

// isUndecided tells that the service did not write: 412, the condition does not hold; 404, there is
// nothing that could match; or 409, another write is under way.
func isUndecided(err error) bool {
	switch status(err) {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return true
	}
	return isNoSuchKey(err)
}

// pause waits before the next try.
func pause(ctx context.Context, try int) error {
	wait := min(firstWait<<(try-1), lastWait)
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A counter counts the requests that go through an HTTP client.
type counter struct {
	s3.HTTPClient
	n *int
}

func (c counter) Do(req *http.Request) (*http.Response, error) {
	*c.n++
	return c.HTTPClient.Do(req)
}
