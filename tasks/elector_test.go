package tasks_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

type elected struct{ tasks.Store }

func (elected) Leads() bool { return true }

type wrapper struct{ tasks.Store }

func (w wrapper) Unwrap() tasks.Store { return w.Store }

type opaque struct{ tasks.Store }

func TestAnOptionalInterfaceIsFoundBelowWrappers(t *testing.T) {
	store := elected{tasks.NewMemory(tasks.MemoryOptions{})}
	for _, s := range []tasks.Store{store, wrapper{store}, wrapper{wrapper{store}}} {
		found, ok := tasks.As[tasks.Elector](s)
		require.True(t, ok)
		assert.Equal(t, store, found)
	}
	for _, s := range []tasks.Store{nil, tasks.NewMemory(tasks.MemoryOptions{}), opaque{store}, wrapper{nil}} {
		_, ok := tasks.As[tasks.Elector](s)
		assert.False(t, ok)
	}
}
