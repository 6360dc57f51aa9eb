package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/storage"
)

const (
	rounds  = 6
	writers = 16
)

// An attempt is what one of many racing writers wanted, and what it was told.
type attempt struct {
	data    []byte
	version storage.Version
	err     error
}

// race makes writers start at the same moment, half of them on each of two handles.
func race(open func() storage.Store, data func(writer int) []byte,
	write func(s storage.Store, data []byte) (storage.Version, error)) []attempt {
	handles := []storage.Store{open(), open()}
	attempts := make([]attempt, writers)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range attempts {
		a := &attempts[i]
		a.data = data(i)
		running.Go(func() {
			<-start
			a.version, a.err = write(handles[i%len(handles)], a.data)
		})
	}
	close(start)
	running.Wait()
	return attempts
}

func own(writer int) []byte { return bytes.Repeat(fmt.Appendf(nil, "writer %d\n", writer), 200) }

// oneWon returns the writer that won; the others have to have been refused.
func oneWon(t *testing.T, attempts []attempt, refusal error) attempt {
	t.Helper()
	var won []attempt
	for _, a := range attempts {
		if a.err == nil {
			won = append(won, a)
		} else {
			require.ErrorIs(t, a.err, refusal)
		}
	}
	require.Len(t, won, 1, "writers that won")
	return won[0]
}

func racingCreates(t *testing.T, backend Backend) {
	open := backend(t, 0)
	s := open()
	for round := range rounds {
		key := fmt.Sprintf("app/%d.snapshot.json", round)
		won := oneWon(t, race(open, own, func(s storage.Store, data []byte) (storage.Version, error) {
			return s.Create(t.Context(), key, data)
		}), storage.ErrExists)
		assert.Equal(t, won.version, holds(t, s, key, won.data))
	}
}

func racingReplaces(t *testing.T, backend Backend) {
	open := backend(t, 0)
	s := open()
	const key = "app/timestamp.json"
	version := storage.Absent
	for round := range rounds { // the first is about which is there first
		data := func(writer int) []byte { return fmt.Appendf(own(writer), "round %d\n", round) }
		won := oneWon(t, race(open, data, func(s storage.Store, data []byte) (storage.Version, error) {
			return s.Replace(t.Context(), key, version, data)
		}), storage.ErrConflict)
		version = holds(t, s, key, won.data)
		assert.Equal(t, won.version, version)
	}
}

func racingTwins(t *testing.T, backend Backend) {
	open := backend(t, 0)
	s := open()
	version := storage.Absent
	for round := range rounds {
		key := fmt.Sprintf("app/%d.root.json", round)
		data := fmt.Appendf(nil, "round %d", round)
		same := func(int) []byte { return bytes.Clone(data) }
		for _, a := range race(open, same, func(s storage.Store, data []byte) (storage.Version, error) {
			return s.Create(t.Context(), key, data)
		}) {
			require.NoError(t, a.err)
		}
		holds(t, s, key, data)

		for _, a := range race(open, same, func(s storage.Store, data []byte) (storage.Version, error) {
			return s.Replace(t.Context(), "app/timestamp.json", version, data)
		}) {
			require.NoError(t, a.err)
		}
		version = holds(t, s, "app/timestamp.json", data)
	}
}

// readers reads while a writer replaces: each read has to be one whole write, and never an older
// one than was read, or known to be written, before.
func readers(t *testing.T, backend Backend) {
	open := backend(t, 0)
	writer := open()
	const key, last = "app/timestamp.json", 40
	state := func(n int64) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d\n", n), 4096+512*int(n%3)) }

	version := replace(t, writer, key, storage.Absent, state(0))
	var written atomic.Int64
	running, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		s := open()
		running.Go(func() error {
			for seen := int64(0); seen < last; {
				atLeast := max(seen, written.Load())
				object, err := s.Get(ctx, key)
				if err != nil {
					return err
				}
				line, _, _ := bytes.Cut(object.Data, []byte("\n"))
				seen, err = strconv.ParseInt(string(line), 10, 64)
				if err != nil || !bytes.Equal(object.Data, state(seen)) {
					return fmt.Errorf("a read of %d bytes that begins with %q is not one whole write", len(object.Data), line)
				}
				if seen < atLeast {
					return fmt.Errorf("a read returned write %d although %d was there before", seen, atLeast)
				}
			}
			return nil
		})
	}
	running.Go(func() (err error) {
		for n := int64(1); n <= last; n++ {
			if version, err = writer.Replace(ctx, key, version, state(n)); err != nil {
				return err
			}
			written.Store(n)
		}
		return nil
	})
	require.NoError(t, running.Wait())
}

// counter increments a number by compare and swap. Each state carries its writer's name, since two
// writers of the same bytes may both succeed.
func counter(t *testing.T, backend Backend) {
	open := backend(t, 0)
	const goroutines, steps = 8, 8
	running, ctx := errgroup.WithContext(t.Context())
	for i := range goroutines {
		s := open()
		running.Go(func() error {
			for range steps {
				if err := Increment(ctx, s, "counter", fmt.Sprintf("goroutine %d", i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, running.Wait())
	n, err := Count(t.Context(), open(), "counter")
	require.NoError(t, err)
	require.Equal(t, goroutines*steps, n)
}

// Increment adds one to the number at key, however many do so at once. No two who do may have the
// same name.
func Increment(ctx context.Context, s storage.Store, key, name string) error {
	for {
		object, err := s.Get(ctx, key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		n, err := parseCount(object.Data)
		if err != nil {
			return err
		}
		_, err = s.Replace(ctx, key, object.Version, fmt.Appendf(nil, "%d by %s", n+1, name))
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
}

// Count returns the number at key.
func Count(ctx context.Context, s storage.Store, key string) (int, error) {
	object, err := s.Get(ctx, key)
	if err != nil {
		return 0, err
	}
	return parseCount(object.Data)
}

func parseCount(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	number, _, _ := bytes.Cut(data, []byte(" "))
	return strconv.Atoi(string(number))
}

// cancelled cancels writes at moments that nobody chooses. One that says that it succeeded has; any
// other has or has not, but not in part, and repeating it leads to an end.
func cancelled(t *testing.T, backend Backend) {
	open := backend(t, 0)
	s := open()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
	const key = "app/timestamp.json"
	version := storage.Absent
	for round := range 2 * rounds {
		data := fmt.Appendf(bytes.Clone(large), "round %d", round)
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		go func() {
			<-started
			cancel()
		}()
		mutable := bytes.Clone(data)
		close(started)
		_, err := s.Replace(ctx, key, version, mutable)
		clear(mutable) // the call is over, so these bytes are ours
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		cancel()

		object, getErr := s.Get(t.Context(), key)
		switch {
		case err == nil, getErr == nil && bytes.Equal(object.Data, data):
			version = holds(t, s, key, data)
		case errors.Is(getErr, storage.ErrNotFound):
			require.Equal(t, storage.Absent, version)
		default:
			require.NoError(t, getErr)
			require.Equal(t, version, object.Version, "nothing has changed")
		}
		version = replace(t, s, key, version, data)
	}
}

// givenUp cancels a write, and has another writer replace whatever is there then. The cancelled
// write must not land after that.
func givenUp(t *testing.T, backend Backend) {
	open := backend(t, 0)
	one, other := open(), open()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
	const key = "app/timestamp.json"
	version := replace(t, one, key, storage.Absent, []byte("first"))
	for round := range 2 * rounds {
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		go func() {
			<-started
			for range round { // another moment each time
				runtime.Gosched()
			}
			cancel()
		}()
		close(started)
		_, _ = one.Replace(ctx, key, version, fmt.Appendf(bytes.Clone(large), "given up in round %d", round))
		cancel()

		later := fmt.Appendf(nil, "round %d", round)
		for err := storage.ErrConflict; errors.Is(err, storage.ErrConflict); {
			object, getErr := other.Get(t.Context(), key)
			require.NoError(t, getErr)
			version, err = other.Replace(t.Context(), key, object.Version, later)
			if !errors.Is(err, storage.ErrConflict) {
				require.NoError(t, err)
			}
		}
		for range 10 {
			assert.Equal(t, version, holds(t, other, key, later))
		}
	}
}
