package refserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

// A bigStore holds a big file at each key. Each Get returns a new copy.
type bigStore struct {
	storage.Store
	size int
}

func (b bigStore) Get(context.Context, string) (storage.Object, error) {
	return storage.Object{Data: bytes.Repeat([]byte("x"), b.size), Version: "1"}, nil
}

func TestSlowReadersOfAFileShareItsMemory(t *testing.T) {
	const size, readers = 8 << 20, 64
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, Config{Public: bigStore{size: size}})
		listener, stop, done := serve(t, s)
		before := heap()
		for range readers {
			conn, err := listener.dial()
			require.NoError(t, err)
			defer conn.Close()
			fmt.Fprint(conn, "GET /tuf_metadata/acme/desktop/targets/big HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1), nil) // the client reads no more than that
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.EqualValues(t, size, resp.ContentLength)
		}
		synctest.Wait()
		used := heap() - before
		t.Logf("%d slow readers of a file of %d MiB hold %d KiB", readers, size>>20, used>>10)
		assert.Less(t, used, int64(4*size))
		stop()
		require.NoError(t, <-done, "Serve cuts off the slow readers in the end")
		synctest.Wait()
		s.public.mu.Lock()
		defer s.public.mu.Unlock()
		assert.Empty(t, s.public.sent)
		assert.Less(t, heap()-before, int64(size), "nothing is left")
	})
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestCopiesAreOfTheStateRead(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	old, err := store.Replace(t.Context(), "acme/desktop/timestamp.json", storage.Absent, []byte("one"))
	require.NoError(t, err)
	c := newCopies(store)
	one, releaseOne, err := c.open(t.Context(), "acme/desktop/timestamp.json")
	require.NoError(t, err)
	_, err = store.Replace(t.Context(), "acme/desktop/timestamp.json", old, []byte("two"))
	require.NoError(t, err)
	two, releaseTwo, err := c.open(t.Context(), "acme/desktop/timestamp.json")
	require.NoError(t, err)
	assert.Equal(t, "one", string(one))
	assert.Equal(t, "two", string(two), "while the older state is still being sent")
	releaseOne()
	releaseTwo()
	assert.Empty(t, c.sent)
}
