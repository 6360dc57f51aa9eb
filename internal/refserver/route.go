package refserver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/storage"
)

// A handler answers a request. It returns an error only before it has written anything.
type handler func(w *response, r *http.Request) error

// A router runs handlers: with a time limit, and a line in the log for each request.
type router struct {
	mux *http.ServeMux
	log *slog.Logger
}

func newRouter(log *slog.Logger) router {
	return router{mux: http.NewServeMux(), log: cmp.Or(log, slog.New(slog.DiscardHandler))}
}

// route registers h for method on a path, with GET for HEAD too. refused is the message of its
// refusals.
func (s *router) route(method, pattern, refused string, h handler) {
	s.mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) { s.handle(w, r, refused, h) })
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s.handle(w, r, refused, func(w *response, _ *http.Request) error {
			allow := method
			if method == http.MethodGet {
				allow += ", " + http.MethodHead
			}
			w.Header().Set("Allow", allow)
			return &refusal{status: http.StatusMethodNotAllowed, why: "method not allowed"}
		})
	})
}

func (s *router) noSuchPath(w http.ResponseWriter, r *http.Request) {
	s.handle(w, r, "Not found.", func(*response, *http.Request) error {
		return &refusal{status: http.StatusNotFound, why: "no such path"}
	})
}

// ServeHTTP implements http.Handler.
func (s *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// ServeMux would redirect a path with dots or empty segments. The server refuses it.
	if p := r.URL.EscapedPath(); p != path.Clean(p) {
		s.noSuchPath(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// handle runs h with a time limit, answers its error, and logs the request. The log has no headers,
// no query and no body, since they hold secrets.
func (s *router) handle(rw http.ResponseWriter, r *http.Request, refused string, h handler) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), handleTimeout)
	defer cancel()
	w := &response{ResponseWriter: rw}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", storage.CacheNever)

	err := catch(h, w, r.WithContext(ctx))
	if err != nil {
		w.refuse(refused, err)
	}

	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", w.status),
		slog.Duration("duration", time.Since(start)),
	}
	if w.app != "" {
		attrs = append(attrs, slog.String("app", w.app))
	}
	if w.task != "" {
		attrs = append(attrs, slog.String("task", w.task))
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.log.LogAttrs(ctx, levelOf(w, r), "request", attrs...)
}

// levelOf returns the level of a request's line. A request to change something is worth a line at
// INFO, and one to read is not. After a 503 the client comes back. After any other failure of the
// server an operator has to act.
func levelOf(w *response, r *http.Request) slog.Level {
	changes := r.Method == http.MethodPost || r.Method == http.MethodDelete
	failed := w.status >= 500 && r.Context().Err() == nil // a client that went away is no failure of the server
	switch {
	case w.logged:
		return slog.LevelDebug
	case failed && w.status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case failed:
		return slog.LevelError
	case changes:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// catch runs h and returns a panic as an error.
func catch(h handler, w *response, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &refusal{http.StatusInternalServerError, "internal error", fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return h(w, r)
}

// A response is the answer to one request, with values for the log.
type response struct {
	http.ResponseWriter
	status    int // 0 until the header is written
	app, task string
	logged    bool // the handler has logged why it refuses
}

func (w *response) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// refuse answers err. The answer to a bad request has only the error, all others have a message
// too.
func (w *response) refuse(refused string, err error) {
	if w.status != 0 {
		return // h panicked while it was writing: the client gets an answer that is cut off
	}
	answer := answerTo(err)
	body := jsonform.Refusal{Message: refused, Error: answer.why}
	switch answer.status {
	case http.StatusBadRequest:
		body.Message = ""
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	}
	writeJSON(w, answer.status, body)
}

// writeJSON answers with body, one of the forms in jsonform. They always marshal.
func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("marshaling %T: %v", body, err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data) // fails only if the client is gone
}
