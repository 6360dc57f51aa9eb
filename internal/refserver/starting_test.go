package refserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func answerOf(t *testing.T, h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	return w
}

func TestAServerThatStartsSaysWhatItWaitsFor(t *testing.T) {
	s := NewStarting(nil)
	ready := func() string {
		w := answerOf(t, s, http.MethodGet, "/readyz")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		return w.Body.String()
	}
	assert.Equal(t, `{"message":"Not ready.","error":"server is starting"}`, ready())
	storeIsThere := s.WaitFor("store")
	tasksAreThere := s.WaitFor("task store")
	assert.Equal(t, `{"message":"Not ready.","error":"waiting for store and task store"}`, ready())
	storeIsThere()
	assert.Equal(t, `{"message":"Not ready.","error":"waiting for task store"}`, ready())
	tasksAreThere()
	assert.Equal(t, `{"message":"Not ready.","error":"server is starting"}`, ready())

	assert.Equal(t, http.StatusOK, answerOf(t, s, http.MethodGet, "/healthz").Code)
	for _, request := range [][2]string{
		{"POST", online}, {"GET", taskPath}, {"GET", publicPrefix + "acme/desktop/timestamp.json"}, {"DELETE", memoryPath},
		{"GET", "/favicon.ico"},
	} {
		w := answerOf(t, s, request[0], request[1])
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, request)
		assert.Equal(t, "5", w.Header().Get("Retry-After"), request)
		assert.Equal(t, `{"message":"Not available.","error":"server is starting"}`, w.Body.String(), request)
	}
}

func TestOnceItHasBegunTheServerAnswers(t *testing.T) {
	s := NewStarting(nil)
	server, _ := newServer(t, Config{})
	s.Begin(server)
	assert.Equal(t, http.StatusOK, answerOf(t, s, http.MethodGet, "/readyz").Code)
	assert.Equal(t, http.StatusUnauthorized, answerOf(t, s, http.MethodPost, online).Code)
	assert.Equal(t, http.StatusNotFound, answerOf(t, s, http.MethodGet, "/favicon.ico").Code)
}

func TestAServerThatWaitsStops(t *testing.T) {
	for name, begin := range map[string]func(*Starting, *Server){
		"before it has begun": func(*Starting, *Server) {},
		"afterwards":          (*Starting).Begin,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewStarting(nil)
				server, _ := newServer(t, Config{})
				begin(s, server)
				_, stop, done := serve(t, s)
				stop()
				require.NoError(t, <-done)
				w := answerOf(t, s, http.MethodGet, "/readyz")
				assert.Equal(t, `{"message":"Not ready.","error":"server is stopping"}`, w.Body.String())
				s.Begin(server)
				w = answerOf(t, s, http.MethodGet, "/readyz")
				assert.Equal(t, `{"message":"Not ready.","error":"server is stopping"}`, w.Body.String())
			})
		})
	}
}
