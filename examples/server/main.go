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
	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
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
	return serve(ctx, o, stdout, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.logLevel})))
}

// serve listens at once, and answers health checks while it waits for stores and databases. An
// error in what it was given ends it before it waits.
func serve(ctx context.Context, o options, stdout io.Writer, log *slog.Logger) (err error) {
	if o.demo {
		if err := useDemo(&o); err != nil {
			return fmt.Errorf("preparing the demo: %w", err)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	given, err := readGiven(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, given.close()) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	log.Info("listening", "address", listener.Addr().String())
	door := &door{Starting: refserver.NewStarting(log), address: listener.Addr().String(), stop: stop,
		closed: make(chan struct{})}
	go func() {
		defer close(door.closed)
		defer stop()
		door.err = door.Serve(ctx, listener)
	}()
	err = serveAt(ctx, door, o, given, stdout, log)
	stop()
	<-door.closed
	return errors.Join(err, door.err)
}

// A door is where requests come in, from the beginning of the process to its end.
type door struct {
	*refserver.Starting
	address string
	stop    func()        // closes the door
	closed  chan struct{} // is closed once no request is in flight
	err     error         // why it closed by itself; read it once closed is closed
}

// serveAt opens what the server needs, and has it serve at a door until that closes.
func serveAt(ctx context.Context, door *door, o options, given given, stdout io.Writer, log *slog.Logger) (err error) {
	kept, err := openKept(ctx, door.Starting, o, log)
	if err != nil && errors.Is(err, ctx.Err()) {
		log.Info("stopped before it was ready")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.close()) }()
	config := given.config
	config.Store, config.Tasks, config.Memory = kept.store, kept.tasks, kept.memory
	withFaynosync(given.redis, o, &config)
	updater, err := tufupdate.New(config)
	if err != nil {
		return err
	}
	server, err := newServer(o, updater, given.auth, kept, log)
	if err != nil {
		return err
	}
	door.Begin(server)
	log.Info("serving", "address", door.address, "store", o.store, "work", o.work)
	if o.demo {
		if err := explainDemo(stdout, door.address, o.token.Secret); err != nil {
			return err
		}
	}
	if !o.work {
		<-door.closed
		return nil
	}
	return work(ctx, door, updater, log)
}

// work has the updater work until the door is closed. So it works the tasks that requests in flight
// still add.
func work(ctx context.Context, door *door, updater *tufupdate.Updater, log *slog.Logger) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	worked := make(chan error, 1)
	go func() {
		err := updater.Run(working)
		if err == nil && working.Err() == nil {
			err = errors.New("the updater stopped by itself")
		}
		worked <- err
		door.stop() // without a worker the server must not accept tasks
	}()
	<-door.closed
	log.Info("finishing the started tasks")
	stopWork()
	err := <-worked
	log.Info("stopped")
	return err
}

// given is what the options name and what is there, or is not, when the process starts.
type given struct {
	config tufupdate.Config // without store, tasks and memory
	auth   *refserver.Authenticator
	redis  *redis.Client // nil without -faynosync
}

func (g given) close() error {
	if g.redis == nil {
		return nil
	}
	return g.redis.Close()
}

func readGiven(ctx context.Context, o options, log *slog.Logger) (g given, err error) {
	// A faynoSync installation has the keys of all its apps side by side.
	provider, err := keys.NewDir(o.keys, keys.DirOptions{Flat: o.faynosync != ""})
	if err != nil {
		return g, fmt.Errorf("opening the keys: %w", err)
	}
	g.config = tufupdate.Config{Keys: provider, RollTimeout: o.rollTimeout, AcceptOnly: !o.work, Logger: log}
	if o.settings != "" {
		folder, err := openSettings(o.settings)
		if err != nil {
			return g, err
		}
		g.config.Settings = folder.settings
	}
	if !o.renew.off {
		g.config.Renew = &tufupdate.Renew{Every: o.renew.every, Look: o.renew.look, Rate: o.renew.rate}
	}
	if o.trustFirstRoot {
		g.config.Roots = tufupdate.TrustFirstRoot
	} else {
		roots, err := openRoots(o.roots, log)
		if err != nil {
			return g, err
		}
		g.config.Roots = roots.root
		if g.config.Renew != nil {
			g.config.Renew.Apps = roots.apps
		}
	}
	o.token.Logger = log
	if g.auth, err = refserver.NewAuthenticator(ctx, o.token); err != nil {
		return g, err
	}
	g.redis, err = openFaynosync(o)
	return g, err
}

// newServer returns the HTTP server.
func newServer(o options, updater *tufupdate.Updater, auth *refserver.Authenticator, kept kept, log *slog.Logger,
) (*refserver.Server, error) {
	config := refserver.Config{Updater: updater, Auth: auth, Logger: log, Checks: []refserver.Check{
		{Name: storeNoun, Ask: func(ctx context.Context) error { return answers(ctx, kept.store) }},
		{Name: tasksNoun, Ask: func(ctx context.Context) error {
			_, err := updater.Task(ctx, uuid.Nil.String())
			return unless(err, tasks.ErrNotFound)
		}},
	}}
	if kept.memory != nil {
		config.Checks = append(config.Checks,
			refserver.Check{Name: memoryNoun, Ask: func(ctx context.Context) error { return answers(ctx, kept.memory) }})
	}
	if o.serve {
		config.Public = kept.store
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
