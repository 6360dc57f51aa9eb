package riversqlite_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riversqlite"
)

// A buffer takes a log from many goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A trigger that refuses changes is a file that cannot be written, to all statements but reads.
func TestADatabaseThatFailsIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log, debug buffer
	path := newPath(t)
	both := slog.NewMultiHandler(slog.NewTextHandler(&log, nil),
		slog.NewTextHandler(&debug, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := open(t, path, rivertasks.Options{Quiet: 2 * time.Second, Logger: slog.New(both)})
	run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil })
	await(t, s, add(t, s), patience)
	assert.Empty(t, log.String(), "while all is well, nothing is logged")

	for _, table := range []string{"river_job", "river_queue"} {
		statement(t, path, `CREATE TRIGGER full_`+table+` BEFORE UPDATE ON `+table+`
			BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	}
	id := add(t, s)
	require.Eventually(t, func() bool { return strings.Count(debug.String(), "Error fetching jobs") > 20 }, patience,
		10*time.Millisecond)
	statement(t, path, `DROP TRIGGER full_river_job`)
	statement(t, path, `DROP TRIGGER full_river_queue`)
	assert.Equal(t, tasks.StateSuccess, await(t, s, id, patience).State)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "answers again") }, 3*time.Minute,
		10*time.Millisecond)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 2, "%s", log.String())
	assert.Contains(t, lines[0], "level=WARN")
	assert.Contains(t, lines[0], "disk is full")
	assert.Contains(t, lines[1], "level=INFO")
}

func TestARunEndsThoughItsDatabaseIsClosed(t *testing.T) {
	t.Parallel()
	var log buffer
	opts := rivertasks.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	s, err := riversqlite.Open(t.Context(), newPath(t), opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() {
		running <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil })
	}()
	await(t, s, add(t, s), patience) // or its outcome could not be stored
	require.NoError(t, s.Close())
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "the database fails") }, patience,
		10*time.Millisecond)
	cancel()
	require.NoError(t, <-running)
	assert.NotContains(t, log.String(), "ERROR")
	assert.Equal(t, 1, strings.Count(log.String(), "the database fails"), "%s", log.String())
}
