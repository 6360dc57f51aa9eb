package taskstest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

func TestFlakyPassesTheSuite(t *testing.T) {
	Run(t, Harness{Retries: true, Open: func(t testing.TB, capacity int) func() tasks.Store {
		f := NewFlaky(honest().Open(t, capacity)(), nil)
		return func() tasks.Store { return f }
	}})
}

func TestFlakyFailsAsItIsTold(t *testing.T) {
	boom := errors.New("boom")
	// flaky returns a store with the pending task "old". Calls of the verb meet the fault.
	flaky := func(t *testing.T, verb Verb, fault Fault) (*Flaky, *tasks.Memory) {
		m := tasks.NewMemory(tasks.MemoryOptions{})
		require.NoError(t, m.Add(t.Context(), tasks.Task{ID: "old", App: "acme", Roles: []string{"targets"}}))
		return NewFlaky(m, func(c Call) Fault {
			if c.Verb == verb {
				return fault
			}
			return Fault{}
		}), m
	}
	use := func(ctx context.Context, s tasks.Store, verb Verb) error {
		switch verb {
		case Add:
			return s.Add(ctx, tasks.Task{ID: "new", App: "acme", Roles: []string{"targets"}})
		case Get:
			_, err := s.Get(ctx, "old")
			return err
		default:
			return s.Run(ctx, succeed)
		}
	}
	// landed reports whether a call of the verb reached the store.
	landed := func(t *testing.T, m *tasks.Memory, verb Verb) bool {
		if verb == Add {
			_, err := m.Get(t.Context(), "new")
			return err == nil
		}
		return get(t, m, "old").State.Ended()
	}
	for _, verb := range []Verb{Add, Get, RunWork} {
		t.Run(string(verb), func(t *testing.T) {
			for _, c := range []struct {
				name  string
				fault Fault
				want  error
				lands bool
			}{
				{"before", Fault{Before: boom}, boom, false},
				{"after", Fault{After: boom}, boom, verb != Get},
				{"hang", Fault{Hang: true}, context.DeadlineExceeded, false},
			} {
				synctest.Test(t, func(t *testing.T) {
					f, m := flaky(t, verb, c.fault)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					require.ErrorIs(t, use(ctx, f, verb), c.want, c.name)
					assert.Equal(t, c.lands, landed(t, m, verb), c.name)
				})
			}
		})
	}
}

func TestFlakyRecordsCallsInOrder(t *testing.T) {
	f := NewFlaky(tasks.NewMemory(tasks.MemoryOptions{}), nil)
	id := add(t, f, "acme", "targets")
	get(t, f, id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, f.Run(ctx, succeed))
	_, wraps := tasks.As[*tasks.Memory](f)
	assert.True(t, wraps)
	assert.Equal(t, []Call{{Add, id, 1}, {Get, id, 2}, {RunWork, "", 3}}, f.Calls())
}
