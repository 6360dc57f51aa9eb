// Package refserver offers a tufupdate.Updater over HTTP. Its endpoints accept updates, return the
// state of a task and the status of a repository, forget what is remembered of an app, and answer
// health checks. It can serve the repositories' public files too.
//
// The package authenticates requests and writes answers. The updater does the rest.
package refserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// The limits of what a client may cost. Each phase of a request has an end, so that no client holds
// a connection for ever.
const (
	maxConnections    = 4096 // see door
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second // headers and body
	handleTimeout     = 30 * time.Second // for the updater and the store
	writeTimeout      = 2 * time.Minute  // from the end of the headers to the end of the answer
	idleTimeout       = time.Minute
)

// DefaultGrace is the default of Config.Grace.
const DefaultGrace = 20 * time.Second

// An Updater is the part of *tufupdate.Updater that the server uses. The comments there are the
// contract.
type Updater interface {
	ForceOnline(ctx context.Context, app string, roles []string) (tasks.Task, error)
	Task(ctx context.Context, id string) (tasks.Task, error)
	Status(ctx context.Context, app string) (tufupdate.Status, error)
	Forget(ctx context.Context, app string) (map[string]int64, error)
	Ready() error
	Failing() []tufupdate.AppHealth
}

// A Check asks whether something is available that the server depends on.
type Check struct {
	Name string // a noun that callers may see, such as "store"
	Ask  func(context.Context) error
}

// Config configures a Server.
type Config struct {
	Updater Updater        // required
	Auth    *Authenticator // required

	// Public is a store all of whose files clients may read, under /tuf_metadata/ and without a
	// token. If nil, the server serves no files.
	Public storage.Store

	// Checks are asked at each readiness check, one after the other, before Updater.Ready. Their
	// context ends after 5 seconds in all. If one returns an error, the server is not ready.
	Checks []Check

	// Grace is how long requests in flight may take after the server was told to stop. The default
	// is DefaultGrace.
	Grace time.Duration

	// Logger gets a line for each request, most of them at DEBUG. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Server is an http.Handler. Serve runs it with limits on what clients may cost.
type Server struct {
	updater Updater
	auth    *Authenticator
	public  *copies // nil if the server serves no files
	checks  []Check
	grace   time.Duration
	router
	stopping atomic.Bool
	unready  unready
}

// New returns a Server. Its error names the field that is missing in cfg.
func New(cfg Config) (*Server, error) {
	if cfg.Updater == nil {
		return nil, errors.New("refserver: no updater")
	}
	if cfg.Auth == nil {
		return nil, errors.New("refserver: no authenticator")
	}
	s := &Server{
		updater: cfg.Updater,
		auth:    cfg.Auth,
		checks:  cfg.Checks,
		grace:   cmp.Or(cfg.Grace, DefaultGrace),
		router:  newRouter(cfg.Logger),
	}
	s.route(http.MethodPost, "/tuf/v1/metadata/online", "Task not accepted.", s.forceOnline)
	s.route(http.MethodGet, "/tuf/v1/task", "Task state not available.", s.taskState)
	s.route(http.MethodGet, "/tuf/v1/status", "Repository status not available.", s.repositoryStatus)
	s.route(http.MethodDelete, "/tuf/v1/memory", "Nothing forgotten.", s.forget)
	s.route(http.MethodGet, "/healthz", "Not healthy.", healthz)
	s.route(http.MethodGet, "/readyz", "Not ready.", s.readyz)
	if cfg.Public != nil {
		s.public = newCopies(cfg.Public)
		s.route(http.MethodGet, publicPrefix+"{key...}", "File not available.", s.publicFile)
		s.mux.HandleFunc(strings.TrimSuffix(publicPrefix, "/"), s.noSuchPath) // ServeMux would redirect it with its query
	}
	s.mux.HandleFunc("/", s.noSuchPath)
	return s, nil
}

// Serve answers the connections of ln until ctx ends. Then the server is no longer ready and
// accepts no more connections. Serve waits for the requests in flight, for the grace period at
// most, and returns nil. It returns an error if it cannot go on before ctx ends. It always closes
// ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return serveUntil(ctx, ln, s, s.log, s.grace, func() { s.stopping.Store(true) })
}

// serveUntil is Serve for any handler. It calls stopping once ctx has ended.
func serveUntil(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger, graceTime time.Duration,
	stopping func()) error {
	outlive := context.WithoutCancel(ctx) // requests in flight are not cut off when ctx ends
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return outlive },
		ConnState:         newDoor(maxConnections).changed,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()

	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stopping()
	grace, cancel := context.WithTimeout(outlive, graceTime)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		log.Warn("requests took longer than the grace period and were cut off", "grace", graceTime, "error", err)
		_ = server.Close() // an error would only say that a connection was gone already
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	}
	return nil
}
