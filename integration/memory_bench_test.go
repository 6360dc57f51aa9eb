package integration_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/sqlstore"
	"github.com/tufonline/tufonline/storage/sqlstore/sqlitestore"
	"github.com/tufonline/tufonline/tufupdate"
)

// What it costs to remember each roll: a small app in memory, all three roles, warm.
func BenchmarkRollWithMemory(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) storage.Store{
		"none": func(*testing.B) storage.Store { return nil },
		"SQLite": func(b *testing.B) storage.Store {
			s, err := sqlitestore.Open(b.Context(), filepath.Join(b.TempDir(), "memory.db"), sqlstore.Options{})
			require.NoError(b, err)
			return s
		},
		"Postgres": func(b *testing.B) storage.Store { return openObjects(b, pgserver.Start(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			repo := testrepo.New(b, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
			config := tufupdate.Config{
				Store: repo.Store, Keys: repo.Provider(b), Roots: tufupdate.PinnedRoot(repo.Root),
				Logger: slog.New(slog.DiscardHandler), Memory: open(b),
			}
			if c, ok := config.Memory.(io.Closer); ok {
				defer c.Close()
			}
			u, err := tufupdate.New(config)
			require.NoError(b, err)
			for b.Loop() {
				_, err := u.Roll(b.Context(), repo.App, nil)
				require.NoError(b, err)
			}
		})
	}
}
