// Package refserver shows a tufupdate.Updater over HTTP: an endpoint that accepts forced updates,
// one that tells what became of them, one for the state of a repository, health checks and, if
// wanted, the repository's public files.
//
// It decides who may ask and how answers look on the wire; everything else is the updater's.
package refserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// What a client may cost. Each phase of a request has an end, so that nobody holds a connection for
// ever.
const (
	maxConnections    = 4096 // see door
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second // headers and body
	handleTimeout     = 30 * time.Second // what the updater and the store are given
	writeTimeout      = 2 * time.Minute  // from the end of the headers to the end of the answer
	idleTimeout       = time.Minute
)

// DefaultGrace is how long requests in flight may take after the server was told to stop, unless
// Config says otherwise.
const DefaultGrace = 20 * time.Second

// An Updater is what the server needs of *tufupdate.Updater, whose comments are the contract.
type Updater interface {
	ForceOnline(ctx context.Context, app string, roles []string) (tasks.Task, error)
	Task(ctx context.Context, id string) (tasks.Task, error)
	Status(ctx context.Context, app string) (tufupdate.Status, error)
}

// Config is what a Server is made of.
type Config struct {
	Updater Updater        // required
	Auth    *Authenticator // required

	// Public is the store whose files clients may read under /tuf_metadata/: all of them, without a
	// token. Nil serves none.
	Public storage.Store

	// Ready is asked at each readiness check, for at most a few seconds; its error makes the server
	// not ready. Nil is always ready.
	Ready func(context.Context) error

	Grace  time.Duration // 0 means DefaultGrace
	Logger *slog.Logger  // nil logs nothing
}

// A Server answers HTTP requests. It is an http.Handler, and Serve runs it with limits on what
// clients may cost.
type Server struct {
	updater  Updater
	auth     *Authenticator
	public   *copies // nil: serves none
	ready    func(context.Context) error
	grace    time.Duration
	log      *slog.Logger
	mux      *http.ServeMux
	stopping atomic.Bool
}

// New returns a Server, or an error that names what is missing in cfg.
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
		ready:   cfg.Ready,
		grace:   cfg.Grace,
		log:     cfg.Logger,
		mux:     http.NewServeMux(),
	}
	if s.grace == 0 {
		s.grace = DefaultGrace
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.route(http.MethodPost, "/tuf/v1/metadata/online", "Task not accepted.", s.forceOnline)
	s.route(http.MethodGet, "/tuf/v1/task", "Task state not available.", s.taskState)
	s.route(http.MethodGet, "/tuf/v1/status", "Repository status not available.", s.repositoryStatus)
	s.route(http.MethodGet, "/healthz", "Not healthy.", s.healthz)
	s.route(http.MethodGet, "/readyz", "Not ready.", s.readyz)
	if cfg.Public != nil {
		s.public = newCopies(cfg.Public)
		s.route(http.MethodGet, publicPrefix+"{key...}", "File not available.", s.publicFile)
		s.mux.HandleFunc(strings.TrimSuffix(publicPrefix, "/"), s.noSuchPath) // ServeMux would redirect it, query and all
	}
	s.mux.HandleFunc("/", s.noSuchPath)
	return s, nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// ServeMux would redirect a path with dots or empty segments to the plain one; here no such
	// path exists.
	if p := r.URL.EscapedPath(); p != path.Clean(p) {
		s.noSuchPath(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers the connections of ln until ctx ends. Then it is no longer ready, accepts no more,
// lets the requests in flight finish for at most the grace period, and returns nil. It returns an
// error if it could not go on serving before. ln is closed in any case.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	outlive := context.WithoutCancel(ctx) // requests in flight are not cut off when ctx ends
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
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
	s.stopping.Store(true)
	grace, cancel := context.WithTimeout(outlive, s.grace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.log.Warn("requests did not finish within the grace period and were cut off", "grace", s.grace, "error", err)
		_ = server.Close() // it is over: an error would say that a connection was gone already
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	}
	return nil
}
