package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// loggedAt returns the level of the only line about a request.
func loggedAt(t *testing.T, log *logBuffer) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(log.String(), "msg=request"), log.String())
	_, rest, _ := strings.Cut(log.String(), "level=")
	level, _, _ := strings.Cut(rest, " ")
	return level
}

func TestALineIsAboveDebugOnlyIfItIsForOperators(t *testing.T) {
	down, broken := errors.New("down"), fmt.Errorf("%w", &tufupdate.VerificationError{Err: errors.New("no signature")})
	files := mapStore{
		objects:  map[string]string{"acme/desktop/1.root.json": "root"},
		failures: map[string]error{"acme/desktop/2.root.json": down, "acme/desktop/3.root.json": storage.ErrTooLarge},
	}
	for _, tc := range []struct {
		name, method, target string
		err                  error // of the updater
		status               int
		level                string
	}{
		{"an accepted update", "POST", online, nil, 200, "INFO"},
		{"a refused update", "POST", online, tufupdate.ErrNoKey, 404, "INFO"},
		{"an update that may be asked for again", "POST", online, down, 503, "WARN"},
		{"an update that somebody has to make possible", "POST", online, broken, 500, "ERROR"},
		{"a poll", "GET", taskPath, nil, 200, "DEBUG"},
		{"a poll of no task", "GET", taskPath, tasks.ErrNotFound, 404, "DEBUG"},
		{"a poll while the database is away", "GET", taskPath, down, 503, "WARN"},
		{"a status", "GET", statusPath, nil, 200, "DEBUG"},
		{"a status that nobody can give", "GET", statusPath, broken, 500, "ERROR"},
		{"health", "GET", "/healthz", nil, 200, "DEBUG"},
		{"readiness", "GET", "/readyz", nil, 200, "DEBUG"},
		{"a file", "GET", publicPrefix + "acme/desktop/1.root.json", nil, 200, "DEBUG"},
		{"no file", "GET", publicPrefix + "acme/desktop/4.root.json", nil, 404, "DEBUG"},
		{"a file while the store is away", "GET", publicPrefix + "acme/desktop/2.root.json", nil, 503, "WARN"},
		{"a file that is too large", "GET", publicPrefix + "acme/desktop/3.root.json", nil, 500, "ERROR"},
		{"another path", "GET", "/favicon.ico", nil, 404, "DEBUG"},
		{"another method", "PUT", statusPath, nil, 405, "DEBUG"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, log := newServer(t, Config{Public: files, Updater: &fakeUpdater{
				force:  func(context.Context) (tasks.Task, error) { return tasks.Task{ID: testTask}, tc.err },
				task:   func(string) (tasks.Task, error) { return tasks.Task{ID: testTask, App: "acme/desktop"}, tc.err },
				status: func() (tufupdate.Status, error) { return tufupdate.Status{}, tc.err },
			}})
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.target, nil)
			r.Header.Set("Authorization", bearer(t, adminClaims("acme")))
			s.ServeHTTP(w, r)
			assert.Equal(t, tc.status, w.Code)
			assert.Equal(t, tc.level, loggedAt(t, log))
		})
	}
}

func TestAClientThatWentAwayIsNoFailure(t *testing.T) {
	s, log := newServer(t, Config{Updater: &fakeUpdater{
		status: func() (tufupdate.Status, error) { return tufupdate.Status{}, context.Canceled },
	}})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, statusPath, nil)
	r.Header.Set("Authorization", bearer(t, adminClaims("acme")))
	s.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "DEBUG", loggedAt(t, log))
}
