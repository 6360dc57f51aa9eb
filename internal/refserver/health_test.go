package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/tufupdate"
)

func TestReadinessSaysWhyInGeneralWords(t *testing.T) {
	hush := errors.New("dial tcp 10.1.2.3:443: hush")
	for _, tc := range []struct {
		name          string
		store, memory error
		updater       error
		why           string
	}{
		{"the store is away", hush, nil, nil, "store not available"},
		{"the memory is away", nil, hush, nil, "memory not available"},
		{"everything is away", hush, hush, hush, "store not available"},
		{"the renewal makes no progress", nil, nil, fmt.Errorf("%w: %w", tufupdate.ErrRenewalLate, hush), "renewal is late"},
		{"no app is healthy", nil, nil, fmt.Errorf("%w: hush", tufupdate.ErrUnhealthy), "apps are not healthy"},
		{"the updater has ended", nil, nil, tufupdate.ErrStopped, "updater is stopping"},
		{"another reason", nil, nil, hush, "updater is not ready"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, log := newServer(t, Config{Updater: &fakeUpdater{ready: tc.updater}, Checks: []Check{
				{"store", func(context.Context) error { return tc.store }},
				{"memory", func(context.Context) error { return tc.memory }},
			}})
			status, body := readyStatus(t, s)
			assert.Equal(t, http.StatusServiceUnavailable, status)
			assert.Equal(t, `{"message":"Not ready.","error":"`+tc.why+`"}`, body)
			assert.Contains(t, log.String(), `level=WARN msg="not ready" reason="`+tc.why+`"`)
			if !errors.Is(tc.updater, tufupdate.ErrStopped) {
				assert.Contains(t, log.String(), "hush", "the log has the error")
			}
		})
	}
}

func TestAServerThatIsReadySaysHowManyAppsAreNot(t *testing.T) {
	updater := new(fakeUpdater)
	s, _ := newServer(t, Config{Updater: updater})
	status, body := readyStatus(t, s)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, `{"message":"Ready."}`, body)

	updater.failing = []tufupdate.AppHealth{{App: "acme/desktop"}, {App: "globex/desktop"}}
	status, body = readyStatus(t, s)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, `{"message":"Ready.","failing_apps":2}`, body)
}

func TestAReadinessThatChangesIsLoggedOnceEachWay(t *testing.T) {
	var failing error
	updater := new(fakeUpdater)
	store := Check{"store", func(context.Context) error { return failing }}
	s, log := newServer(t, Config{Updater: updater, Checks: []Check{store}})
	ask := func() {
		for range 3 {
			readyStatus(t, s)
		}
	}
	lines := func() (all []string) {
		for line := range strings.Lines(log.String()) {
			if _, rest, _ := strings.Cut(line, "level="); !strings.HasPrefix(rest, "DEBUG") {
				all = append(all, strings.TrimSpace(rest))
			}
		}
		return all
	}
	ask()
	assert.Empty(t, lines(), "a server that begins ready is no news")
	failing = errors.New("down")
	ask()
	failing, updater.ready = nil, tufupdate.ErrRenewalLate
	ask()
	updater.ready = nil
	ask()
	assert.Equal(t, []string{
		`WARN msg="not ready" reason="store not available" error=down`,
		`WARN msg="not ready" reason="renewal is late" error="renewal is late"`,
		`INFO msg="ready again"`,
	}, lines())
}

func TestAReadinessCheckIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newServer(t, Config{Checks: []Check{{"store", func(ctx context.Context) error {
			<-ctx.Done() // like a store that never answers
			return context.Cause(ctx)
		}}}})
		start := time.Now()
		status, body := readyStatus(t, s)
		assert.Equal(t, readyTimeout, time.Since(start))
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Contains(t, body, "store not available")

		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		s.unready.note(t.Context(), s.log, "", nil)
		before := strings.Count(log.String(), "not ready")
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
		assert.Equal(t, before, strings.Count(log.String(), "not ready"), "a caller who went away says nothing of the store")
	})
}
