package refserver

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testTask   = "0340496a-90bb-46b1-bc3c-e5c66cf98149"
)

// A fakeUpdater answers with its functions and records the calls of ForceOnline.
type fakeUpdater struct {
	force   func(ctx context.Context) (tasks.Task, error)
	task    func(id string) (tasks.Task, error)
	status  func() (tufupdate.Status, error)
	forget  func(app string) (map[string]int64, error)
	ready   error
	failing []tufupdate.AppHealth

	mu    sync.Mutex
	asked []forceCall
}

type forceCall struct {
	app   string
	roles []string
}

func (f *fakeUpdater) ForceOnline(ctx context.Context, app string, roles []string) (tasks.Task, error) {
	f.mu.Lock()
	f.asked = append(f.asked, forceCall{app, roles})
	f.mu.Unlock()
	if f.force == nil {
		created := time.Date(2026, 2, 5, 14, 31, 57, 992386000, time.FixedZone("", 2*60*60))
		return tasks.Task{ID: testTask, App: app, Roles: roles, State: tasks.StatePending, Created: created}, nil
	}
	return f.force(ctx)
}

func (f *fakeUpdater) Task(_ context.Context, id string) (tasks.Task, error) { return f.task(id) }

func (f *fakeUpdater) Status(context.Context, string) (tufupdate.Status, error) { return f.status() }

func (f *fakeUpdater) Forget(_ context.Context, app string) (map[string]int64, error) {
	return f.forget(app)
}

func (f *fakeUpdater) Ready() error { return f.ready }

func (f *fakeUpdater) Failing() []tufupdate.AppHealth { return f.failing }

// calls returns the calls of ForceOnline so far.
func (f *fakeUpdater) calls() []forceCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// A logBuffer is a log that tests can read while the server writes it.
type logBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func secretAuth(t testing.TB) *Authenticator {
	t.Helper()
	auth, err := NewAuthenticator(t.Context(), TokenConfig{
		Secret: []byte(testSecret), AdminClaim: "role=admin", OperatorClaim: "role=operator",
	})
	require.NoError(t, err)
	return auth
}

// newServer returns a server for cfg, and its log. It fills in the missing fields.
func newServer(t testing.TB, cfg Config) (*Server, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Updater == nil {
		cfg.Updater = new(fakeUpdater)
	}
	if cfg.Auth == nil {
		cfg.Auth = secretAuth(t)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	return s, log
}

func startHTTP(t testing.TB, cfg Config) (url string, log *logBuffer) {
	t.Helper()
	s, log := newServer(t, cfg)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL, log
}

// adminClaims returns the claims of a token that is allowed everything about the owner's apps.
// changes are pairs of claim and value. A nil value removes the claim.
func adminClaims(owner string, changes ...any) jwt.MapClaims {
	claims := jwt.MapClaims{"username": owner, "role": "admin", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(changes); i += 2 {
		claims[changes[i].(string)] = changes[i+1]
		if changes[i+1] == nil {
			delete(claims, changes[i].(string))
		}
	}
	return claims
}

func sign(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	require.NoError(t, err)
	return token
}

func bearer(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	return "Bearer " + sign(t, jwt.SigningMethodHS256, []byte(testSecret), claims)
}

// An answer is a response that has been read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request and follows no redirects. headers are pairs of name and value.
func send(t testing.TB, method, url string, body io.Reader, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func text(s string) io.Reader { return strings.NewReader(s) }
