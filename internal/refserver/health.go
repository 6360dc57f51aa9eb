package refserver

import (
	"context"
	"net/http"
	"time"
)

// readyTimeout is what a readiness check may take.
const readyTimeout = 5 * time.Second

type health struct {
	Message string `json:"message"`
}

// healthz says that the server answers.
func (s *Server) healthz(w *response, _ *http.Request) error {
	writeJSON(w, http.StatusOK, health{"Healthy."})
	return nil
}

// readyz says whether the server should be sent requests.
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
	writeJSON(w, http.StatusOK, health{"Ready."})
	return nil
}
