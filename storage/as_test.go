package storage_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/storage"
)

// opaque hides what its store can do besides the three verbs.
type opaque struct{ storage.Store }

// wrapper is opaque, but says what it wraps.
type wrapper struct{ opaque }

func (w wrapper) Unwrap() storage.Store { return w.Store }

// listing is a wrapper that lists by itself.
type listing struct {
	wrapper
	storage.Lister
}

func TestAsFindsWhatAWrappedStoreCanDo(t *testing.T) {
	m := storage.NewMemory(storage.MemoryOptions{})
	wrapped := wrapper{opaque{wrapper{opaque{m}}}}
	deleter, ok := storage.As[storage.Deleter](wrapped)
	assert.True(t, ok)
	assert.Same(t, m, deleter)
	_, ok = storage.As[storage.SingleProcess](wrapped)
	assert.True(t, ok)
}

func TestAsPrefersTheOuterStore(t *testing.T) {
	m := storage.NewMemory(storage.MemoryOptions{})
	outer := listing{wrapper{opaque{m}}, m}
	lister, ok := storage.As[storage.Lister](outer)
	assert.True(t, ok)
	assert.Equal(t, outer, lister)
}

func TestAsStopsAtAStoreThatDoesNotUnwrap(t *testing.T) {
	for name, s := range map[string]storage.Store{
		"opaque":                opaque{storage.NewMemory(storage.MemoryOptions{})},
		"a wrapper of opaque":   wrapper{opaque{opaque{storage.NewMemory(storage.MemoryOptions{})}}},
		"a wrapper of no store": wrapper{},
		"no store":              nil,
	} {
		lister, ok := storage.As[storage.Lister](s)
		assert.False(t, ok, name)
		assert.Nil(t, lister, name)
	}
}
