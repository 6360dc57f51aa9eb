package refserver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzDecodeRoles checks that an accepted body means what encoding/json reads in it. Every other
// body is a bad request.
func FuzzDecodeRoles(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"roles":null}`, `{"roles":[]}`, `{"roles":["targets","snapshot"]}`, `{"Roles":[]}`, `{"roles":[null]}`,
		`{"roles":[],"roles":[]}`,
		`null`, `[]`, `{"roles":["\ud800"]}`, `{"roles":[1]}`, `{}{}`, ` {"roles" : [ "a" ] } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		roles, err := decodeRoles(body)
		if err != nil {
			assert.Nil(t, roles)
			assert.Equal(t, http.StatusBadRequest, answerTo(err).status)
			return
		}
		var oracle map[string][]string
		require.NoError(t, json.Unmarshal(body, &oracle))
		assert.True(t, slices.Equal(oracle["roles"], roles), "%q: %q", body, roles)
		delete(oracle, "roles")
		assert.Empty(t, oracle)

		plain, err := json.Marshal(map[string][]string{"roles": roles})
		require.NoError(t, err)
		again, err := decodeRoles(plain)
		require.NoError(t, err)
		assert.Equal(t, roles, again)
	})
}

// FuzzAuthorizationHeader checks that a guessed header makes no admin. The signed tokens among the
// seeds are not an admin's.
func FuzzAuthorizationHeader(f *testing.F) {
	auth := secretAuth(f)
	claims := jwt.MapClaims{"username": "acme", "exp": int64(1) << 40}
	token := sign(f, jwt.SigningMethodHS256, []byte(testSecret), claims)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(f, err)
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer " + token, "bearer " + token, "Basic " + token, "Bearer " + token + ".", "Bearer " +
			unsigned,
		"Bearer eyJhbGciOiJIUzI1NiJ9.bnVsbA.", "Bearer bnVsbA.bnVsbA.", "Bearer e30.e30.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		who, err := auth.Authenticate(r)
		if err != nil {
			assert.Zero(t, who)
			assert.Less(t, len(err.Error()), 300, "errors do not quote the token")
			return
		}
		assert.Equal(t, Identity{Owner: "acme"}, who)
		assert.Equal(t, token, header[len("Bearer "):])
	})
}
