package bucketstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/bucketstore"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestStoreOnMemory(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
		return open(t, memblob.OpenBucket(nil), limit)
	})
}

func TestStoreOnFiles(t *testing.T) {
	for name, options := range map[string]fileblob.Options{
		"with attributes beside them": {NoTempDir: true},
		"without attributes":          {NoTempDir: true, Metadata: fileblob.MetadataDontWrite},
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T, limit int64) func() storage.Store {
				b, err := fileblob.OpenBucket(t.TempDir(), &options)
				require.NoError(t, err)
				return open(t, b, limit)
			})
		})
	}
}

func open(t *testing.T, b *blob.Bucket, limit int64) func() storage.Store {
	t.Cleanup(func() { b.Close() })
	s := bucketstore.New(b, bucketstore.Options{Limit: limit})
	return func() storage.Store { return s }
}

func TestHeadersFollowTheVerb(t *testing.T) {
	b := memblob.OpenBucket(nil)
	defer b.Close()
	s := bucketstore.New(b, bucketstore.Options{})
	_, err := s.Create(t.Context(), "1.root.json", []byte("{}"))
	require.NoError(t, err)
	_, err = s.Replace(t.Context(), "replaced", storage.Absent, []byte("x"))
	require.NoError(t, err)

	for key, want := range map[string][2]string{
		"1.root.json": {"application/json", storage.CacheImmutable},
		"replaced":    {"application/octet-stream", storage.CacheNever},
	} {
		attributes, err := b.Attributes(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, want, [2]string{attributes.ContentType, attributes.CacheControl}, key)
	}
}

func TestStoreIsForOneProcess(t *testing.T) {
	var s storage.Store = bucketstore.New(memblob.OpenBucket(nil), bucketstore.Options{})
	assert.Implements(t, (*storage.SingleProcess)(nil), s)
}

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	notFound := gcerrors.NotFound
	for name, c := range map[string]struct {
		service fakeService
		get     error // nil: any error that is no sentinel
		create  error
		replace error
	}{
		"no such object, and writes fail": {fakeService{readCode: notFound, write: broken}, storage.ErrNotFound, broken,
			nil},
		"no such bucket": {fakeService{readCode: notFound, listCode: notFound}, nil, nil, nil},
		"nobody says if there is a bucket": {fakeService{readCode: notFound, listCode: gcerrors.PermissionDenied}, nil, nil,
			nil},
		"reading fails": {fakeService{readCode: gcerrors.Internal}, nil, nil, nil},
		"others write too": {
			fakeService{readCode: notFound,
				closeCode: gcerrors.FailedPrecondition}, storage.ErrNotFound, storage.ErrExists, storage.ErrConflict,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := blob.NewBucket(&c.service)
			defer b.Close()
			s := bucketstore.New(b, bucketstore.Options{})
			check := func(want, err error) {
				t.Helper()
				require.Error(t, err)
				if want != nil {
					require.ErrorIs(t, err, want)
					return
				}
				for _, sentinel := range []error{storage.ErrNotFound, storage.ErrExists, storage.ErrConflict} {
					require.NotErrorIs(t, err, sentinel)
				}
			}
			_, err := s.Get(t.Context(), "key")
			check(c.get, err)
			_, err = s.Create(t.Context(), "key", []byte("data"))
			check(c.create, err)
			_, err = s.Replace(t.Context(), "key", storage.Absent, []byte("data"))
			check(c.replace, err)
			assert.Empty(t, c.service.committed, "what was written in part")
		})
	}
}

// fakeService is a gocloud driver in which nothing works as told.
type fakeService struct {
	driver.Bucket
	readCode, listCode, closeCode gcerrors.ErrorCode
	write                         error
	closePanics                   bool

	committed []string
}

type codedError gcerrors.ErrorCode

func (e codedError) Error() string { return gcerrors.ErrorCode(e).String() }

func failing(code gcerrors.ErrorCode) error {
	if code == gcerrors.OK {
		return nil
	}
	return codedError(code)
}

func (f *fakeService) Close() error { return nil }

func (f *fakeService) ErrorCode(err error) gcerrors.ErrorCode {
	if coded, ok := errors.AsType[codedError](err); ok {
		return gcerrors.ErrorCode(coded)
	}
	return gcerrors.Unknown
}

func (f *fakeService) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return &driver.ListPage{}, failing(f.listCode)
}

func (f *fakeService) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader,
	error) {
	return nil, failing(f.readCode)
}

func (f *fakeService) NewTypedWriter(ctx context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer,
	error) {
	return &fakeWriter{f, ctx, key}, nil
}

// fakeWriter commits what it has when it is closed, as gocloud's do, unless its context has ended.
type fakeWriter struct {
	*fakeService
	ctx context.Context
	key string
}

func (w *fakeWriter) Write(data []byte) (int, error) {
	if w.write != nil {
		return len(data) / 2, w.write
	}
	return len(data), nil
}

func (w *fakeWriter) Close() error {
	if w.closePanics {
		panic("not implemented")
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.closeCode == gcerrors.OK {
		w.committed = append(w.committed, w.key)
	}
	return failing(w.closeCode)
}
