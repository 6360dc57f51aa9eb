package riversqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

func TestOneOfTwoProcessesLeadsAndTheOtherOneFollows(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	stores := [2]*rivertasks.Store{open(t, path, rivertasks.Options{}), open(t, path, rivertasks.Options{})}
	leader := func() int {
		switch one, other := stores[0].Leads(), stores[1].Leads(); {
		case one && !other:
			return 0
		case other && !one:
			return 1
		}
		return -1
	}
	require.Equal(t, -1, leader(), "no Run is active")
	var stops [2]func()
	for i, s := range stores {
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() {
			running <- s.Run(ctx, func(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil })
		}()
		stops[i] = func() {
			cancel()
			assert.NoError(t, <-running)
			assert.False(t, s.Leads(), "no Run is active")
		}
	}
	require.Eventually(t, func() bool { return leader() >= 0 }, patience, 10*time.Millisecond)
	first := leader()
	stops[first]()
	require.Eventually(t, func() bool { return leader() == 1-first }, patience, 10*time.Millisecond)
	stops[1-first]()
}
