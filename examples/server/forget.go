package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// forget has an app forgotten, and prints the versions that were remembered:
//
//	server forget -memory URL APP
//
// Servers that share the memory may be running.
func forget(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	fs := flag.NewFlagSet("server forget", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "Usage: server forget [-memory URL] [-tasks URL] APP\n\n"+
			"Removes what is remembered of an app, and prints which versions that was. It is for after an earlier\n"+
			"state of the repository was put back on purpose: the next roll signs over what the store holds then.")
		fs.PrintDefaults()
	}
	memory := fs.String("memory", "", "`URL` of the memory, as of the server's flag")
	tasks := fs.String("tasks", memTasks, "`URL` of the servers' task store, whose database is the memory without -memory")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return errors.New("forget takes one app, such as acme/desktop, after the flags")
	}
	app, where := fs.Arg(0), memoryURL(*memory, *tasks)
	if where == noMemory {
		return errors.New("there is no memory: give -memory, or a database as -tasks")
	}
	if err := exists(where); err != nil {
		return err
	}
	store, err := openMemoryURL(ctx, where)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	defer func() { err = errors.Join(err, closeIfCloser(store)) }()
	updater, err := tufupdate.New(tufupdate.Config{
		Store: storage.NewMemory(storage.MemoryOptions{}), Keys: keys.NewMemory(), Roots: tufupdate.TrustFirstRoot,
		Memory: store, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	versions, err := updater.Forget(ctx, app)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		what := "no version was remembered"
		if versions != nil {
			what = "forgotten, although it could not be read"
		}
		_, err = fmt.Fprintf(stdout, "%s: %s\n", app, what)
		return err
	}
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		if _, err := fmt.Fprintf(stdout, "%s: forgotten: %s %d\n", app, role, versions[role]); err != nil {
			return err
		}
	}
	return nil
}

// exists returns an error for a SQLite file that does not exist. Opening it would create it.
func exists(where string) error {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "sqlite" {
		return nil //nolint:nilerr // opening the memory says what is wrong, without the URL
	}
	_, err = os.Stat(u.Host + u.Path)
	return err
}
