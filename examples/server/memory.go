package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/storage/sqlstore/postgresstore"
	"github.com/tufonline/tufonline/storage/sqlstore/sqlitestore"
)

// noMemory is what -memory says if nothing is to be remembered.
const noMemory = "none"

// memoryURL returns the URL of the store that remembers what was published: the flag, or the
// database of the tasks, or noMemory.
func memoryURL(memory, tasks string) string {
	if memory != "" {
		return memory
	}
	if u, err := url.Parse(tasks); err == nil && slices.Contains([]string{"sqlite", "postgres", "postgresql"}, u.Scheme) {
		return tasks
	}
	return noMemory
}

// openMemory opens the store that remembers what was published. It returns nil if there is none.
// See checkApart.
func openMemory(ctx context.Context, o options, log *slog.Logger) (storage.Store, error) {
	where := memoryURL(o.memory, o.tasks)
	if where == noMemory {
		log.Warn("memory: none: when this server ends, it forgets which versions it has published; " +
			"an attacker who can write to the store can put back an earlier state before the server starts again, " +
			"and have it signed; give the server -memory, or a database as -tasks")
		return nil, nil
	}
	memory, err := openMemoryURL(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	if err := probe(ctx, memory); err != nil {
		return nil, errors.Join(fmt.Errorf("memory: %w", err), closeIfCloser(memory))
	}
	if o.memory == "" {
		log.Info("memory: in the task database")
	} else {
		log.Info("memory: as -memory says")
	}
	return memory, nil
}

// openMemoryURL opens a store, which has to outlive the process.
func openMemoryURL(ctx context.Context, where string) (storage.Store, error) {
	if strings.HasPrefix(where, memTasks) {
		return nil, fmt.Errorf("%s ends with the server: write -memory %s if nothing is to be remembered", memTasks, noMemory)
	}
	drivers := append(postgresstore.Drivers(), sqlitestore.Driver(), filestore.Driver(), s3store.Driver())
	return storage.Open(ctx, where, drivers...)
}

// checkApart returns an error if writers of the repositories' store could write the memory too.
// memory is nil if there is none.
func checkApart(memoryURL string, memory storage.Store, storeURL string, store storage.Store) error {
	if memory == nil {
		return nil
	}
	u, err := url.Parse(memoryURL)
	if err != nil {
		return errors.New("its URL cannot be parsed")
	}
	if s, err := url.Parse(storeURL); err == nil && u.Scheme == "s3" && s.Scheme == "s3" && u.Host == s.Host {
		return fmt.Errorf("%w: it is in the store's bucket, %s: use another bucket", errNotApart, u.Host)
	}
	files, ok := storage.As[*filestore.Store](store)
	if !ok {
		return nil
	}
	published, err := filepath.EvalSymlinks(files.Dir())
	if err != nil {
		return err
	}
	switch own, ok := storage.As[*filestore.Store](memory); {
	case ok:
		dir, err := filepath.EvalSymlinks(own.Dir())
		if err != nil {
			return err
		}
		if isWithin(dir, published) || isWithin(published, dir) {
			return fmt.Errorf("%w: the folders %s and %s are the same, or one is in the other", errNotApart, dir, published)
		}
	case u.Scheme == "sqlite":
		file, err := filepath.Abs(u.Host + u.Path)
		if err == nil {
			file, err = filepath.EvalSymlinks(file)
		}
		if err != nil {
			return err
		}
		if isWithin(file, published) {
			return fmt.Errorf("%w: %s is in the store's folder", errNotApart, file)
		}
	}
	return nil
}

var errNotApart = errors.New("whoever can write to the store could write to it too, so it would protect nothing")

// isWithin reports whether a path is a folder, or is below it.
func isWithin(path, folder string) bool {
	relative, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(relative)
}
