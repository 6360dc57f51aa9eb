package refserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Starting serves while a process waits for what its Server needs. It answers that the process is
// alive, and that it is not ready and what it waits for. It refuses all other requests with 503.
// From Begin on, the Server answers. Methods may be called from many goroutines at once.
type Starting struct {
	router   // until Begin
	server   atomic.Pointer[Server]
	stopping atomic.Bool

	mu    sync.Mutex
	waits []string
}

// NewStarting returns a Starting. If log is nil, nothing is logged.
func NewStarting(log *slog.Logger) *Starting {
	s := &Starting{router: newRouter(log)}
	s.route(http.MethodGet, "/healthz", "Not healthy.", healthz)
	s.route(http.MethodGet, "/readyz", "Not ready.", s.readyz)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.handle(w, r, "Not available.", func(w *response, _ *http.Request) error {
			w.logged = true // by those who wait
			return &refusal{status: http.StatusServiceUnavailable, why: "server is starting"}
		})
	})
	return s
}

// WaitFor has readiness checks answer that the server waits for something, until over is called.
// The noun is for callers: it names no place.
func (s *Starting) WaitFor(noun string) (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = append(s.waits, noun)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.waits, noun); i >= 0 {
			s.waits = slices.Delete(s.waits, i, i+1)
		}
	}
}

// Begin has server answer all requests that come from now on.
func (s *Starting) Begin(server *Server) {
	s.server.Store(server)
	if s.stopping.Load() {
		server.stopping.Store(true)
	}
}

// ServeHTTP implements http.Handler.
func (s *Starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if server := s.server.Load(); server != nil {
		server.ServeHTTP(w, r)
		return
	}
	s.router.ServeHTTP(w, r)
}

// Serve answers the connections of ln until ctx ends, like [Server.Serve] with the default grace
// period.
func (s *Starting) Serve(ctx context.Context, ln net.Listener) error {
	return serveUntil(ctx, ln, s, s.log, DefaultGrace, func() {
		s.stopping.Store(true)
		if server := s.server.Load(); server != nil {
			server.stopping.Store(true)
		}
	})
}

func (s *Starting) readyz(w *response, _ *http.Request) error {
	w.logged = true // by those who wait
	s.mu.Lock()
	waits := strings.Join(s.waits, " and ")
	s.mu.Unlock()
	switch {
	case s.stopping.Load():
		return &refusal{status: http.StatusServiceUnavailable, why: "server is stopping"}
	case waits == "":
		return &refusal{status: http.StatusServiceUnavailable, why: "server is starting"}
	default:
		return &refusal{status: http.StatusServiceUnavailable, why: "waiting for " + waits}
	}
}
