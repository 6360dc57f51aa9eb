package bucketstore_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/bucketstore"
)

func TestAWriteThatWasBegunKeepsItsKeyLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, s := newRemote()
		version, err := s.Create(t.Context(), "key", []byte("published"))
		require.NoError(t, err)

		release := service.holdNext()
		data := []byte("late")
		require.ErrorIs(t, giveUp(t, func(ctx context.Context) error {
			_, err := s.Replace(ctx, "key", version, data)
			return err
		}), context.Canceled)
		clear(data) // the call is over, so these bytes are the caller's

		_, err = s.Create(t.Context(), "other", []byte("x"))
		require.NoError(t, err, "other keys are free")
		other := make(chan error, 1)
		go func() {
			_, err := s.Replace(t.Context(), "key", version, []byte("by another writer"))
			other <- err
		}()
		synctest.Wait()
		release()
		require.ErrorIs(t, <-other, storage.ErrConflict)
		object, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, "late", string(object.Data))
	})
}

func TestADeleteThatWasBegunKeepsItsKeyLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, s := newRemote()
		_, err := s.Create(t.Context(), "key", []byte("old"))
		require.NoError(t, err)
		release := service.holdNext()
		require.ErrorIs(t, giveUp(t, func(ctx context.Context) error { return s.Delete(ctx, "key") }), context.Canceled)

		created := make(chan error, 1)
		go func() {
			_, err := s.Create(t.Context(), "key", []byte("new"))
			created <- err
		}()
		synctest.Wait()
		release()
		require.NoError(t, <-created)
		object, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, "new", string(object.Data))
	})
}

func TestAWriterThatWaitedInVainWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, s := newRemote()
		release := service.holdNext()
		for _, data := range []string{"first", "second"} {
			require.ErrorIs(t, giveUp(t, func(ctx context.Context) error {
				_, err := s.Create(ctx, "key", []byte(data))
				return err
			}), context.Canceled)
		}
		require.ErrorIs(t, giveUp(t, func(ctx context.Context) error {
			_, err := s.Get(ctx, "key")
			return err
		}), context.Canceled)
		release()
		synctest.Wait()
		object, err := s.Get(t.Context(), "key")
		require.NoError(t, err)
		assert.Equal(t, "first", string(object.Data))
	})
}

func TestAPanicOfADriverIsAnError(t *testing.T) {
	b := blob.NewBucket(&fakeService{readCode: gcerrors.NotFound, closePanics: true})
	defer b.Close()
	_, err := bucketstore.New(b, bucketstore.Options{}).Create(t.Context(), "key", []byte("data"))
	require.ErrorContains(t, err, "panic")
}

// giveUp makes a call and ends its context once the call waits for something.
func giveUp(t *testing.T, call func(context.Context) error) error {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- call(ctx) }()
	synctest.Wait()
	cancel()
	return <-result
}

// A remote is a service that carries out what it was sent, although the client has given up.
type remote struct {
	fakeService
	objects map[string][]byte // for one request after the other
	held    chan struct{}     // delays the next request; nil if none
}

func newRemote() (*remote, *bucketstore.Store) {
	r := &remote{objects: map[string][]byte{}}
	return r, bucketstore.New(blob.NewBucket(r), bucketstore.Options{})
}

// holdNext delays what the next write or delete does until release is called.
func (r *remote) holdNext() (release func()) {
	held := make(chan struct{})
	r.held = held
	return func() { close(held) }
}

func (r *remote) carryOut(ctx context.Context, change func()) error {
	held := r.held
	r.held = nil
	done := make(chan struct{})
	go func() {
		if held != nil {
			<-held
		}
		change()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *remote) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	return r.carryOut(ctx, func() { delete(r.objects, key) })
}

func (r *remote) NewRangeReader(_ context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader,
	error) {
	data, ok := r.objects[key]
	if !ok {
		return nil, failing(gcerrors.NotFound)
	}
	return remoteReader{io.NopCloser(bytes.NewReader(data)), int64(len(data))}, nil
}

type remoteReader struct {
	io.ReadCloser
	size int64
}

func (r remoteReader) As(any) bool { return false }

func (r remoteReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.size}
}

func (r *remote) NewTypedWriter(ctx context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &remoteWriter{r, ctx, key, nil}, nil
}

type remoteWriter struct {
	*remote
	ctx  context.Context
	key  string
	data []byte
}

func (w *remoteWriter) Write(data []byte) (int, error) {
	w.data = append(w.data, data...)
	return len(data), nil
}

func (w *remoteWriter) Close() error {
	return w.carryOut(w.ctx, func() { w.objects[w.key] = w.data })
}
