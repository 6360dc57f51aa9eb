// Command server is the reference server. It keeps the online roles of TUF repositories signed, and
// accepts updates over HTTP.
//
//	server -demo
//
// creates a repository in the folder demo-data and serves it. server -help lists all flags.
//
//	server forget -memory URL APP
//
// has servers forget which versions of an app they have published. Package tufupdate is the
// library.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. Then it accepts no more tasks, finishes the started ones, and returns
// nil. Tasks in memory are all finished.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 && args[0] == "forget" {
		return forget(ctx, args[1:], stdout, stderr)
	}
	o, err := parseOptions(args, getenv, stderr)
	if err != nil || o.help {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.logLevel}))
	if o.demo {
		if err := useDemo(&o); err != nil {
			return fmt.Errorf("preparing the demo: %w", err)
		}
	}
	store, err := openStore(ctx, o.store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIfCloser(store)) }()
	if o.demo {
		if err := setupDemo(ctx, store); err != nil {
			return fmt.Errorf("making the demo's repository: %w", err)
		}
	}
	work, err := openTasks(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIfCloser(work)) }()
	memory, err := openMemory(ctx, o, store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIfCloser(memory)) }()
	updater, closer, err := newUpdater(o, store, work, memory, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	server, err := newServer(ctx, o, updater, store, memory, log)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	log.Info("serving", "address", listener.Addr().String(), "store", o.store, "work", o.work)
	if o.demo {
		if err := explainDemo(stdout, listener.Addr().String(), o.token.Secret); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	if !o.work {
		return server.Serve(ctx, listener)
	}
	return serve(ctx, server, listener, updater, log)
}

// openStore opens a store and checks that its writes are atomic.
func openStore(ctx context.Context, url string, log *slog.Logger) (storage.Store, error) {
	store, err := storage.Open(ctx, url, filestore.Driver(), s3store.Driver())
	if err != nil {
		return nil, err
	}
	if _, ok := storage.As[storage.SingleProcess](store); ok {
		log.Warn("the store is safe for one process only: nothing else may write to it", "store", url)
	}
	if err := probe(ctx, store); err != nil {
		return nil, errors.Join(err, closeIfCloser(store))
	}
	return store, nil
}

// probe checks that the writes of a store are atomic.
func probe(ctx context.Context, store storage.Store) error {
	err := storage.Probe(ctx, store, storage.ProbeOptions{})
	if errors.Is(err, storage.ErrNoAtomicWrites) {
		return fmt.Errorf("the store cannot be used, since concurrent writers would overwrite each other: %w", err)
	}
	return err
}

// closeIfCloser closes a store that is an io.Closer.
func closeIfCloser(store any) error {
	if c, ok := store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// newUpdater returns the updater, and what has to be closed after it. memory may be nil.
func newUpdater(o options, store storage.Store, work tasks.Store, memory storage.Store, log *slog.Logger,
) (*tufupdate.Updater, io.Closer, error) {
	// A faynoSync installation has the keys of all its apps side by side.
	provider, err := keys.NewDir(o.keys, keys.DirOptions{Flat: o.faynosync != ""})
	if err != nil {
		return nil, nil, fmt.Errorf("opening the keys: %w", err)
	}
	config := tufupdate.Config{Store: store, Keys: provider, Tasks: work, Memory: memory, RollTimeout: o.rollTimeout,
		AcceptOnly: !o.work, Logger: log}
	if o.settings != "" {
		folder, err := openSettings(o.settings)
		if err != nil {
			return nil, nil, err
		}
		config.Settings = folder.settings
	}
	if !o.renew.off {
		config.Renew = &tufupdate.Renew{Every: o.renew.every, Look: o.renew.look, Rate: o.renew.rate}
	}
	if o.trustFirstRoot {
		config.Roots = tufupdate.TrustFirstRoot
	} else {
		roots, err := openRoots(o.roots, log)
		if err != nil {
			return nil, nil, err
		}
		config.Roots = roots.root
		if config.Renew != nil {
			config.Renew.Apps = roots.apps
		}
	}
	closer, err := withFaynosync(o, &config)
	if err != nil {
		return nil, nil, err
	}
	updater, err := tufupdate.New(config)
	if err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return updater, closer, nil
}

// newServer returns the HTTP server. memory may be nil.
func newServer(ctx context.Context, o options, updater *tufupdate.Updater, store, memory storage.Store,
	log *slog.Logger) (*refserver.Server, error) {
	o.token.Logger = log
	auth, err := refserver.NewAuthenticator(ctx, o.token)
	if err != nil {
		return nil, err
	}
	config := refserver.Config{Updater: updater, Auth: auth, Logger: log, Checks: []refserver.Check{
		{Name: "store", Ask: func(ctx context.Context) error { return answers(ctx, store) }},
		{Name: "task store", Ask: func(ctx context.Context) error {
			_, err := updater.Task(ctx, uuid.Nil.String())
			return unless(err, tasks.ErrNotFound)
		}},
	}}
	if memory != nil {
		config.Checks = append(config.Checks,
			refserver.Check{Name: "memory", Ask: func(ctx context.Context) error { return answers(ctx, memory) }})
	}
	if o.serve {
		config.Public = store
	}
	return refserver.New(config)
}

// answers returns an error unless a store answers that a file does not exist.
func answers(ctx context.Context, store storage.Store) error {
	_, err := store.Get(ctx, "no-such-file")
	return unless(err, storage.ErrNotFound)
}

// unless returns err, but nil for an error that was wanted.
func unless(err, wanted error) error {
	if errors.Is(err, wanted) {
		return nil
	}
	return err
}

// serve works tasks and answers requests until ctx ends. The updater stops last, so that it works
// the tasks that requests in flight still add.
func serve(ctx context.Context, server *refserver.Server, listener net.Listener, updater *tufupdate.Updater,
	log *slog.Logger) error {
	ctx, stopServing := context.WithCancel(ctx)
	defer stopServing()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	worked := make(chan error, 1)
	go func() {
		err := updater.Run(work)
		if err == nil && work.Err() == nil {
			err = errors.New("the updater stopped by itself")
		}
		worked <- err
		stopServing() // without a worker the server must not accept tasks
	}()
	err := server.Serve(ctx, listener)
	log.Info("finishing the started tasks")
	stopWork()
	err = errors.Join(err, <-worked)
	log.Info("stopped")
	return err
}
