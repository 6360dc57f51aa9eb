package refserver

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ask sends a raw request and returns the answer.
func ask(t *testing.T, address, request string) (status int, body string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // the server may hang up before the end
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err, "%.80s", request)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// post returns an update request with a query, header lines and a body.
func post(query, body string, headers ...string) string {
	lines := append([]string{"POST /tuf/v1/metadata/online?" + query + " HTTP/1.1", "Host: x"}, headers...)
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// An attack is a request that must not be accepted.
type attack struct {
	name    string
	request string
	status  int // of the answer
}

const (
	jsonType  = "Content-Type: application/json"
	ownQuery  = "appName=acme/desktop"
	signsThat = "Authorization: "
)

// withToken returns an update request for acme's app. Only its header lines are bad.
func withToken(name string, status int, lines ...string) attack {
	return attack{name, post(ownQuery, `{"roles":["timestamp"]}`, append(lines, jsonType)...), status}
}

func TestHostileRequestsAreRefused(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	set := writeFile(t, jwks(t, map[string]any{"rsa": &rsaKey.PublicKey, "ec": &ecKey.PublicKey}))
	var fetched atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	t.Cleanup(trap.Close)

	h := newHouse(t)
	foreign, err := h.updater.ForceOnline(t.Context(), "globex/desktop", nil)
	require.NoError(t, err)
	_, err = h.updater.Wait(t.Context(), foreign.ID)
	require.NoError(t, err)
	signed, added := h.signatures(), h.added.Load()

	withSet := func(algorithm string) TokenConfig {
		return TokenConfig{JWKS: set, Algorithm: algorithm, Issuer: "https://id.example", Audience: "tuf"}
	}
	in := func(d time.Duration) jwt.MapClaims {
		return adminClaims("acme", "exp", time.Now().Add(d).Unix(), "iss", "https://id.example", "aud", "tuf")
	}
	refused := 0
	for _, door := range []struct {
		name    string
		tokens  TokenConfig
		attacks []attack
		good    string // a token with which the same request is accepted
	}{
		{
			"secret", TokenConfig{Secret: []byte(testSecret)}, append(secretAttacks(t), requestAttacks(t, foreign.ID)...),
			sign(t, jwt.SigningMethodHS256, []byte(testSecret), in(time.Hour)),
		},
		{
			"RS256", withSet("RS256"), keySetAttacks(t, "RS256", rsaKey, ecKey, trap.URL),
			sign(t, jwt.SigningMethodRS256, rsaKey, in(time.Hour)),
		},
		{
			"ES256", withSet("ES256"), keySetAttacks(t, "ES256", rsaKey, ecKey, trap.URL),
			sign(t, jwt.SigningMethodES256, ecKey, in(time.Hour)),
		},
	} {
		address := h.open(t, door.tokens)
		for _, a := range door.attacks {
			status, body := ask(t, address, a.request)
			assert.Equal(t, a.status, status, "%s: %s: %s", door.name, a.name, body)
			if h.added.Load() != added || h.signatures() != signed {
				require.FailNow(t, "accepted", "%s: %s", door.name, a.name)
			}
			refused++
		}
		// A good token is accepted, so the requests above were refused for their faults.
		status, body := ask(t, address, withToken("", 0, signsThat+"Bearer "+door.good).request)
		require.Equal(t, http.StatusOK, status, body)
		added++
		require.Equal(t, added, h.added.Load(), "the counter counts")
		_, id, _ := strings.Cut(body, `"task_id":"`)
		_, err = h.updater.Wait(t.Context(), id[:len(foreign.ID)])
		require.NoError(t, err)
		require.Greater(t, h.signatures(), signed, "this one too")
		signed = h.signatures()
	}
	assert.Zero(t, fetched.Load(), "no URL of a token is fetched")
	log := h.log.String()
	assert.NotContains(t, log, "panic")
	assert.NotContains(t, log, "level=ERROR")
	assert.NotContains(t, log, url.QueryEscape(bearer(t, adminClaims("acme"))[:40]), "no token is logged")
	t.Logf("%d hostile requests refused", refused)
}
