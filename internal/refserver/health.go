package refserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tufupdate"
)

// readyTimeout limits a readiness check.
const readyTimeout = 5 * time.Second

// healthz answers that the server is alive.
func healthz(w *response, _ *http.Request) error {
	writeJSON(w, http.StatusOK, jsonform.Notice{Message: "Healthy."})
	return nil
}

// readyz answers whether the server should get requests. Callers get the reason in general words,
// and the log gets the error.
func (s *Server) readyz(w *response, r *http.Request) error {
	if s.stopping.Load() {
		w.logged = true // it is no news
		return &refusal{status: http.StatusServiceUnavailable, why: "server is stopping"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	why, err := s.whyNotReady(ctx)
	if r.Context().Err() == nil { // a caller that went away has made the checks fail
		s.unready.note(ctx, s.log, why, err)
	}
	if err != nil {
		w.logged = true
		return &refusal{http.StatusServiceUnavailable, why, err}
	}
	writeJSON(w, http.StatusOK, jsonform.Readiness{Message: "Ready.", FailingApps: len(s.updater.Failing())})
	return nil
}

// whyNotReady returns why the server is not ready: in words for callers, and the error itself. Both
// are empty if it is ready.
func (s *Server) whyNotReady(ctx context.Context) (why string, err error) {
	for _, check := range s.checks {
		if err := check.Ask(ctx); err != nil {
			return check.Name + " not available", err
		}
	}
	err = s.updater.Ready()
	if err == nil {
		return "", nil
	}
	for _, known := range []error{tufupdate.ErrStopped, tufupdate.ErrRenewalLate, tufupdate.ErrUnhealthy} {
		if errors.Is(err, known) {
			return known.Error(), err
		}
	}
	return "updater is not ready", err
}

// unready is why the server was not ready at the last check. It is empty if the server was ready.
type unready struct {
	mu  sync.Mutex
	why string
}

// note logs a change: once when a reason comes up, and once when the server is ready again.
func (u *unready) note(ctx context.Context, log *slog.Logger, why string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if why == u.why {
		return
	}
	u.why = why
	if err != nil {
		log.WarnContext(ctx, "not ready", "reason", why, "error", err)
	} else {
		log.InfoContext(ctx, "ready again")
	}
}
