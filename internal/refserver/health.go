package refserver

import (
	"context"
	"net/http"
	"time"

	"github.com/tufonline/tufonline/internal/jsonform"
)

// readyTimeout limits a readiness check.
const readyTimeout = 5 * time.Second

// healthz answers that the server is alive.
func (s *Server) healthz(w *response, _ *http.Request) error {
	writeJSON(w, http.StatusOK, jsonform.Notice{Message: "Healthy."})
	return nil
}

// readyz answers whether the server should get requests.
func (s *Server) readyz(w *response, r *http.Request) error {
	if s.stopping.Load() {
		return &refusal{status: http.StatusServiceUnavailable, why: "server is stopping"}
	}
	if s.ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := s.ready(ctx); err != nil {
			return &refusal{http.StatusServiceUnavailable, "readiness check failed", err}
		}
	}
	writeJSON(w, http.StatusOK, jsonform.Notice{Message: "Ready."})
	return nil
}
