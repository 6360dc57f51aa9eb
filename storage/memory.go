package storage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// MemoryOptions are optional.
type MemoryOptions struct {
	Limit int64 // the size in bytes of the largest object that Get returns; 0 means DefaultLimit
}

// Memory is a Store in the memory of this process: for tests, and to try things out. It is a
// Deleter and a Lister too.
type Memory struct {
	limit int64

	mu      sync.RWMutex
	objects map[string]Object
	writes  uint64 // how many there were; a version is the number of its write
}

var (
	_ Store         = (*Memory)(nil)
	_ Deleter       = (*Memory)(nil)
	_ Lister        = (*Memory)(nil)
	_ SingleProcess = (*Memory)(nil)
)

// NewMemory returns a Memory that holds nothing.
func NewMemory(opts MemoryOptions) *Memory {
	return &Memory{limit: cmp.Or(opts.Limit, DefaultLimit), objects: make(map[string]Object)}
}

// SingleProcess says that nobody outside this process sees the objects.
func (m *Memory) SingleProcess() {}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) (Object, error) {
	if err := ready(ctx, "get", key); err != nil {
		return Object{}, err
	}
	m.mu.RLock()
	object, ok := m.objects[key] // its data is never changed in place
	m.mu.RUnlock()
	if !ok {
		return Object{}, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	if int64(len(object.Data)) > m.limit {
		return Object{}, fmt.Errorf("get %s: %w of %d bytes", key, ErrTooLarge, m.limit)
	}
	object.Data = bytes.Clone(object.Data)
	return object, nil
}

// Create implements Store.
func (m *Memory) Create(ctx context.Context, key string, data []byte) (Version, error) {
	if err := ready(ctx, "create", key); err != nil {
		return Absent, err
	}
	version, ok := m.swap(key, Absent, data)
	if !ok {
		return Absent, fmt.Errorf("create %s: %w", key, ErrExists)
	}
	return version, nil
}

// Replace implements Store.
func (m *Memory) Replace(ctx context.Context, key string, old Version, data []byte) (Version, error) {
	if err := ready(ctx, "replace", key); err != nil {
		return Absent, err
	}
	version, ok := m.swap(key, old, data)
	if !ok {
		return Absent, fmt.Errorf("replace %s: %w", key, ErrConflict)
	}
	return version, nil
}

// swap writes data if key holds the version old or data already, and reports whether it does now.
func (m *Memory) swap(key string, old Version, data []byte) (Version, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	current, exists := m.objects[key]
	if exists && bytes.Equal(current.Data, data) {
		return current.Version, true
	}
	if current.Version != old {
		return Absent, false
	}
	m.writes++
	version := Version(strconv.FormatUint(m.writes, 10))
	m.objects[key] = Object{Data: bytes.Clone(data), Version: version}
	return version, true
}

// Delete implements Deleter.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := ready(ctx, "delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// List implements Lister.
func (m *Memory) List(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	keys := slices.Sorted(maps.Keys(m.objects))
	return slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) }), nil
}

// ready is what every method asks first: may this key be used, and is there still somebody who
// waits for the answer?
func ready(ctx context.Context, verb, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	return nil
}
