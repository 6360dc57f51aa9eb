package refserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

const memoryPath = "/tuf/v1/memory?appName=acme/desktop"

func TestOnlyAnOperatorHasAnAppForgotten(t *testing.T) {
	operator := bearer(t, adminClaims("ops", "role", "operator"))
	versions := map[string]int64{"root": 2, "timestamp": 41}
	not := func(why string) string { return `{"message":"Nothing forgotten.","error":"` + why + `"}` }
	for _, tc := range []struct {
		name, method, target, token string
		versions                    map[string]int64
		err                         error
		asked                       []string // apps that the updater was asked to forget
		status                      int
		want                        string
	}{
		{"an operator, of any owner's app", "DELETE", memoryPath, operator, versions, nil, []string{"acme/desktop"}, 200,
			`{"data":{"app":"acme/desktop","versions":{"root":2,"timestamp":41}},"message":"Forgotten."}`},
		{"nothing was remembered", "DELETE", memoryPath, operator, nil, nil, []string{"acme/desktop"}, 404,
			not("no version of the app was remembered")},
		{"what could not be read", "DELETE", memoryPath, operator, map[string]int64{}, nil, []string{"acme/desktop"}, 200,
			`{"data":{"app":"acme/desktop","versions":{}},"message":"Forgotten."}`},
		{"the memory is away", "DELETE", memoryPath, operator, nil, errors.New("hush"), []string{"acme/desktop"}, 503,
			not("temporarily not available, try again later")},
		{"the owner's admin", "DELETE", memoryPath, bearer(t, adminClaims("acme")), versions, nil, nil, 403,
			not("token is not an operator's")},
		{"a user", "DELETE", memoryPath, bearer(t, adminClaims("acme", "role", nil)), versions, nil, nil, 403,
			not("token is not an operator's")},
		{"no token", "DELETE", memoryPath, "", versions, nil, nil, 401, not("no valid token")},
		{"no app", "DELETE", "/tuf/v1/memory", operator, versions, nil, nil, 400,
			bad("query parameter appName is missing")},
		{"a path that leads elsewhere", "DELETE", "/tuf/v1/memory?appName=acme/..", operator, versions, nil, nil, 400,
			bad(`invalid app name: invalid key: "acme/.." has the segment ".."`)},
		{"another method", "GET", memoryPath, operator, versions, nil, nil, 405, not("method not allowed")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked []string
			url, _ := startHTTP(t, Config{Updater: &fakeUpdater{forget: func(app string) (map[string]int64, error) {
				asked = append(asked, app)
				return tc.versions, tc.err
			}}})
			var headers []string
			if tc.token != "" {
				headers = []string{"Authorization", tc.token}
			}
			got := send(t, tc.method, url+tc.target, nil, headers...)
			assert.Equal(t, tc.status, got.status)
			assert.Equal(t, tc.want, got.body)
			assert.Equal(t, tc.asked, asked)
		})
	}
}

func TestAnOperatorIsNotTherebyAnAdmin(t *testing.T) {
	updater := new(fakeUpdater)
	url, _ := startHTTP(t, Config{Updater: updater})
	operator := bearer(t, adminClaims("acme", "role", "operator"))
	got := send(t, http.MethodPost, url+online, nil, "Authorization", operator)
	assert.Equal(t, http.StatusForbidden, got.status)
	assert.Empty(t, updater.calls())
}

func TestWithoutAClaimNoTokenIsAnOperators(t *testing.T) {
	auth, err := NewAuthenticator(t.Context(), TokenConfig{Secret: []byte(testSecret)})
	require.NoError(t, err)
	for _, role := range []any{"operator", "", nil} {
		who, err := auth.Authenticate(request(t, bearer(t, adminClaims("acme", "role", role))))
		require.NoError(t, err)
		assert.Equal(t, Identity{Owner: "acme", Admin: true}, who)
	}
	for _, claim := range []string{"role", "=operator", "role="} {
		_, err := NewAuthenticator(t.Context(), TokenConfig{Secret: []byte(testSecret), OperatorClaim: claim})
		require.ErrorContains(t, err, "operator claim")
	}
}

// An earlier state that was put back on purpose is refused until the app is forgotten.
func TestAForgottenAppIsRolledFromWhatTheStoreHolds(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	repo := testrepo.New(t, store, testrepo.Options{App: "acme/desktop"})
	timestamp, err := store.Get(t.Context(), "acme/desktop/timestamp.json")
	require.NoError(t, err)
	updater, err := tufupdate.New(tufupdate.Config{
		Store: store, Memory: storage.NewMemory(storage.MemoryOptions{}), Keys: repo.Provider(t),
		Roots: tufupdate.PinnedRoot(repo.Root), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	roll := func(ctx context.Context) error {
		_, err := updater.Roll(ctx, "acme/desktop", nil)
		return err
	}
	require.NoError(t, roll(t.Context()))
	newer, err := store.Get(t.Context(), "acme/desktop/timestamp.json")
	require.NoError(t, err)
	_, err = store.Replace(t.Context(), "acme/desktop/timestamp.json", newer.Version, timestamp.Data)
	require.NoError(t, err)
	require.ErrorContains(t, roll(t.Context()), "forget the app", "the error tells the way out")

	url, _ := startHTTP(t, Config{Updater: updater})
	got := send(t, http.MethodDelete, url+memoryPath, nil, "Authorization",
		bearer(t, adminClaims("ops", "role", "operator")))
	require.Equal(t, http.StatusOK, got.status, got.body)
	assert.Contains(t, got.body, `"timestamp":2`)
	require.NoError(t, roll(t.Context()))
}
