package storage_test

import (
	"testing"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, limit int64) func() storage.Store {
		m := storage.NewMemory(storage.MemoryOptions{Limit: limit})
		return func() storage.Store { return m }
	})
}
