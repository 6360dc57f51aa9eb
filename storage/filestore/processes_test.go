//go:build unix

package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

const (
	counterDir = "FILESTORE_TEST_COUNTER_DIR" // makes this test binary a counting process
	processes  = 4
	steps      = 25
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(counterDir); dir != "" {
		if err := count(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// count is what each process does.
func count(ctx context.Context, dir string) error {
	s, err := New(dir, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for step := range steps {
		if err := storagetest.Increment(ctx, s, "app/counter", fmt.Sprintf("process %d", os.Getpid())); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		_, err := s.Create(ctx, fmt.Sprintf("app/%d.root.json", step), fmt.Append(nil, os.Getpid()))
		if err == nil { // as it may be for one process only
			err = storagetest.Increment(ctx, s, "app/creators", fmt.Sprintf("process %d", os.Getpid()))
		}
		if err != nil && !errors.Is(err, storage.ErrExists) {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

func TestProcessesLoseNothing(t *testing.T) {
	dir := t.TempDir()
	running, ctx := errgroup.WithContext(t.Context())
	for range processes {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), counterDir+"="+dir)
		cmd.Stderr = os.Stderr
		running.Go(cmd.Run)
	}
	require.NoError(t, running.Wait())
	s := newStore(t, dir, Options{})
	n, err := storagetest.Count(t.Context(), s, "app/counter")
	require.NoError(t, err)
	assert.Equal(t, processes*steps, n, "increments that were kept")
	n, err = storagetest.Count(t.Context(), s, "app/creators")
	require.NoError(t, err)
	assert.Equal(t, steps, n, "creates that were told that they won")
}
