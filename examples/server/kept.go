package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/tasks"
)

// The nouns by which callers learn what is not available.
const (
	storeNoun  = "store"
	tasksNoun  = "task store"
	memoryNoun = "memory"
)

// kept is where the server keeps what outlives it.
type kept struct {
	store  storage.Store
	tasks  tasks.Store
	memory storage.Store // nil if there is none
}

// close closes what was opened, the last first.
func (k kept) close() error {
	return errors.Join(closeIfCloser(k.memory), closeIfCloser(k.tasks), closeIfCloser(k.store))
}

// openKept opens the stores, and waits for those that are away.
func openKept(ctx context.Context, starting *refserver.Starting, o options, log *slog.Logger) (k kept, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
			k = kept{}
		}
	}()
	both, opening := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		k.store, err = until(opening, o.wait, starting, log, storeNoun, func(ctx context.Context) (storage.Store, error) {
			return openStore(ctx, o.store)
		})
		return err
	})
	both.Go(func() (err error) {
		k.tasks, err = until(opening, o.wait, starting, log, tasksNoun, func(ctx context.Context) (tasks.Store, error) {
			return openTasks(ctx, o, log)
		})
		if err != nil {
			return err
		}
		// By default this is the same database.
		k.memory, err = until(opening, o.wait, starting, log, memoryNoun, func(ctx context.Context) (storage.Store, error) {
			return openMemory(ctx, o, log)
		})
		return err
	})
	if err := both.Wait(); err != nil {
		return k, err
	}
	if _, ok := storage.As[storage.SingleProcess](k.store); ok {
		log.Warn("the store is safe for one process only: nothing else may write to it", "store", o.store)
	}
	if err := checkApart(memoryURL(o.memory, o.tasks), k.memory, o.store, k.store); err != nil {
		return k, fmt.Errorf("memory: %w", err)
	}
	if o.demo {
		if err := setupDemo(ctx, k.store); err != nil {
			return k, fmt.Errorf("making the demo's repository: %w", err)
		}
	}
	return k, nil
}

// openStore opens a store and checks that its writes are atomic.
func openStore(ctx context.Context, url string) (storage.Store, error) {
	store, err := storage.Open(ctx, url, filestore.Driver(), s3store.Driver())
	if err != nil {
		return nil, err
	}
	if err := probe(ctx, store); err != nil {
		return nil, errors.Join(err, closeIfCloser(store))
	}
	return store, nil
}

// errProbe says that a store could not be probed, which proves nothing.
var errProbe = errors.New("the store cannot be probed")

// probe checks that the writes of a store are atomic.
func probe(ctx context.Context, store storage.Store) error {
	err := storage.Probe(ctx, store, storage.ProbeOptions{})
	switch {
	case errors.Is(err, storage.ErrNoAtomicWrites):
		return fmt.Errorf("the store cannot be used, since concurrent writers would overwrite each other: %w", err)
	case err != nil:
		return fmt.Errorf("%w: %w", errProbe, err)
	}
	return nil
}

// closeIfCloser closes a store that is an io.Closer.
func closeIfCloser(store any) error {
	if c, ok := store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
