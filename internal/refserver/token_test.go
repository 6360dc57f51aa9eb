package refserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func request(t testing.TB, authorization ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header["Authorization"] = authorization
	return r
}

func TestHeaderHasToBeOneBearerToken(t *testing.T) {
	auth := secretAuth(t)
	token := sign(t, jwt.SigningMethodHS256, []byte(testSecret), adminClaims("acme"))
	for _, tc := range []struct {
		name   string
		header []string
		valid  bool
	}{
		{"bearer token", []string{"Bearer " + token}, true},
		{"the scheme in another case", []string{"bearer " + token}, true},
		{"no header", nil, false},
		{"empty header", []string{""}, false},
		{"no scheme", []string{token}, false},
		{"another scheme", []string{"Basic " + token}, false},
		{"no token", []string{"Bearer"}, false},
		{"empty token", []string{"Bearer "}, false},
		{"two spaces", []string{"Bearer  " + token}, false},
		{"something after the token", []string{"Bearer " + token + " x"}, false},
		{"two tokens in one header", []string{"Bearer " + token + ", Bearer " + token}, false},
		{"two headers", []string{"Bearer " + token, "Bearer " + token}, false},
		{"four parts", []string{"Bearer " + token + "."}, false},
		{"padded", []string{"Bearer " + token + "="}, false},
		{"cut off", []string{"Bearer " + token[:len(token)-2]}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := auth.Authenticate(request(t, tc.header...))
			if tc.valid {
				require.NoError(t, err)
				assert.Equal(t, Identity{Owner: "acme", Admin: true}, got)
				return
			}
			require.Error(t, err)
			assert.NotContains(t, err.Error(), token, "errors go to the log")
			assert.Zero(t, got)
		})
	}
}

func TestClaims(t *testing.T) {
	auth := secretAuth(t)
	admin := Identity{Owner: "acme", Admin: true}
	user := Identity{Owner: "acme"}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tc := range []struct {
		name   string
		claims jwt.MapClaims
		want   Identity // zero if the token is not valid
	}{
		{"an admin", adminClaims("acme"), admin},
		{"valid and issued since before now", adminClaims("acme", "nbf", in(-time.Hour), "iat", in(-time.Hour)), admin},
		{"another role", adminClaims("acme", "role", "user"), user},
		{"no role", adminClaims("acme", "role", nil), user},
		{"a role in another case", adminClaims("acme", "role", "Admin"), user},
		{"a claim in another case", adminClaims("acme", "role", nil, "Role", "admin"), user},
		{"a list of roles is not a role", adminClaims("acme", "role", []string{"admin"}), user},
		{"a role of a wrong type", adminClaims("acme", "role", true), user},

		{"expired", adminClaims("acme", "exp", in(-time.Hour)), Identity{}},
		{"no expiry", adminClaims("acme", "exp", nil), Identity{}},
		{"expiry of zero", adminClaims("acme", "exp", 0), Identity{}},
		{"expiry of a wrong type", adminClaims("acme", "exp", "tomorrow"), Identity{}},
		{"not valid yet", adminClaims("acme", "nbf", in(time.Hour)), Identity{}},
		{"start of a wrong type", adminClaims("acme", "nbf", "now"), Identity{}},
		{"not valid before the end of time", adminClaims("acme", "nbf", 1e300), Identity{}},
		{"issued at the end of time", adminClaims("acme", "iat", 1e300), Identity{}},
		{"expiry at the end of time", adminClaims("acme", "exp", 1e300), Identity{}},
		{"expiry before all times", adminClaims("acme", "exp", -1e300), Identity{}},
		{"issued in the future", adminClaims("acme", "iat", in(time.Hour)), Identity{}},

		{"no owner", adminClaims("acme", "username", nil), Identity{}},
		{"an owner in another case", adminClaims("acme", "username", nil, "Username", "acme"), Identity{}},
		{"empty owner", adminClaims(""), Identity{}},
		{"an owner of a wrong type", adminClaims("acme", "username", 7), Identity{}},
		{"a list of owners", adminClaims("acme", "username", []string{"acme"}), Identity{}},
		{"an owner of two segments", adminClaims("acme/desktop"), Identity{}},
		{"an owner that is the parent folder", adminClaims(".."), Identity{}},
		{"an owner that begins with a dot", adminClaims(".git"), Identity{}},
		{"an owner with a backslash", adminClaims(`a\b`), Identity{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := auth.Authenticate(request(t, bearer(t, tc.claims)))
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.want == Identity{}, err != nil, "error: %v", err)
		})
	}
}

func TestTokenIsValidUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := secretAuth(t)
		r := request(t, bearer(t, adminClaims("acme", "exp", time.Now().Add(time.Minute).Unix())))
		time.Sleep(time.Minute - time.Second)
		_, err := auth.Authenticate(r)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = auth.Authenticate(r)
		require.ErrorIs(t, err, jwt.ErrTokenExpired)
	})
}

func TestWithoutAdminClaimEveryTokenIsAnAdmins(t *testing.T) {
	auth, err := NewAuthenticator(t.Context(), TokenConfig{Secret: []byte(testSecret)})
	require.NoError(t, err)
	got, err := auth.Authenticate(request(t, bearer(t, adminClaims("acme", "role", nil))))
	require.NoError(t, err)
	assert.Equal(t, Identity{Owner: "acme", Admin: true}, got)
}

func TestIssuerAndAudienceAreRequiredWhereConfigured(t *testing.T) {
	auth, err := NewAuthenticator(t.Context(),
		TokenConfig{Secret: []byte(testSecret), Issuer: "https://id.example", Audience: "tuf"})
	require.NoError(t, err)
	for _, tc := range []struct {
		name  string
		iss   any
		aud   any
		valid bool
	}{
		{"both", "https://id.example", "tuf", true},
		{"one audience of several", "https://id.example", []string{"x", "tuf"}, true},
		{"another issuer", "https://other.example", "tuf", false},
		{"another audience", "https://id.example", "x", false},
		{"no issuer", nil, "tuf", false},
		{"no audience", "https://id.example", nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := auth.Authenticate(request(t, bearer(t, adminClaims("acme", "iss", tc.iss, "aud", tc.aud))))
			assert.Equal(t, tc.valid, err == nil, "error: %v", err)
		})
	}
}

// jwks returns the key set of public keys by key ID.
func jwks(t testing.TB, keys map[string]any) []byte {
	t.Helper()
	set := jwkset.NewMemoryStorage()
	for id, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Metadata: jwkset.JWKMetadataOptions{KID: id}, Marshal: jwkset.JWKMarshalOptions{Private: true},
		})
		require.NoError(t, err)
		require.NoError(t, set.KeyWrite(t.Context(), jwk))
	}
	data, err := set.JSON(t.Context())
	require.NoError(t, err)
	return data
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(name, data, 0o600))
	return name
}

// raw returns a token with any header. sign makes the signature.
func raw(t testing.TB, header map[string]any, claims jwt.MapClaims, sign func(signed string) []byte) string {
	t.Helper()
	h, err := json.Marshal(header)
	require.NoError(t, err)
	c, err := json.Marshal(claims)
	require.NoError(t, err)
	signed := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	return "Bearer " + signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func TestForgedTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	shared := []byte(testSecret)

	keys := writeFile(t, jwks(t, map[string]any{"rsa": &rsaKey.PublicKey, "ec": &ecKey.PublicKey, "shared": shared}))
	auth, err := NewAuthenticator(t.Context(), TokenConfig{JWKS: keys, AdminClaim: "role=admin"})
	require.NoError(t, err)

	claims := adminClaims("acme")
	by := func(method jwt.SigningMethod, key any) func(string) []byte {
		return func(signed string) []byte {
			signature, err := method.Sign(signed, key)
			require.NoError(t, err)
			return signature
		}
	}
	nothing := func(string) []byte { return nil }
	type header = map[string]any

	for _, tc := range []struct {
		name  string
		token string
		valid bool
	}{
		{"signed by the key it names", raw(t, header{"alg": "RS256", "kid": "rsa"}, claims,
			by(jwt.SigningMethodRS256, rsaKey)), true},
		{"signed by some key", raw(t, header{"alg": "RS256"}, claims, by(jwt.SigningMethodRS256, rsaKey)), true},
		{"signed by another key", raw(t, header{"alg": "RS256", "kid": "rsa"}, claims, by(jwt.SigningMethodRS256, otherKey)),
			false},
		{"signed by an unknown key", raw(t, header{"alg": "RS256", "kid": "x"}, claims, by(jwt.SigningMethodRS256, rsaKey)),
			false},
		{"key ID of a wrong type", raw(t, header{"alg": "RS256", "kid": 1}, claims, by(jwt.SigningMethodRS256, rsaKey)),
			false},
		{"algorithm none", raw(t, header{"alg": "none", "kid": "rsa"}, claims, nothing), false},
		{"algorithm None", raw(t, header{"alg": "None"}, claims, nothing), false},
		{"no algorithm", raw(t, header{"kid": "rsa"}, claims, by(jwt.SigningMethodRS256, rsaKey)), false},
		{"algorithm of a wrong type", raw(t, header{"alg": []string{"RS256"}}, claims, by(jwt.SigningMethodRS256, rsaKey)),
			false},
		{"no signature", raw(t, header{"alg": "RS256", "kid": "rsa"}, claims, nothing), false},
		{"the public key as a secret", raw(t, header{"alg": "HS256", "kid": "rsa"}, claims,
			by(jwt.SigningMethodHS256, publicPEM)), false},
		{"the public key's bytes as a secret", raw(t, header{"alg": "HS256", "kid": "rsa"}, claims,
			by(jwt.SigningMethodHS256, der)), false},
		{"a shared secret of the set", raw(t, header{"alg": "HS256", "kid": "shared"}, claims,
			by(jwt.SigningMethodHS256, shared)), false},
		{"a secret where a public key is due", raw(t, header{"alg": "RS256", "kid": "shared"}, claims,
			by(jwt.SigningMethodHS256, shared)), false},
		{"another algorithm of the key", raw(t, header{"alg": "RS512", "kid": "rsa"}, claims,
			by(jwt.SigningMethodRS512, rsaKey)), false},
		{"another kind of key", raw(t, header{"alg": "ES256", "kid": "ec"}, claims, by(jwt.SigningMethodES256, ecKey)),
			false},
		{"its own key in the header", raw(t, header{"alg": "RS256", "jwk": header{"kty": "oct", "k": "eA"}}, claims,
			by(jwt.SigningMethodRS256, otherKey)), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := auth.Authenticate(request(t, tc.token))
			if tc.valid {
				require.NoError(t, err)
				assert.Equal(t, Identity{Owner: "acme", Admin: true}, got)
				return
			}
			require.Error(t, err)
			assert.Zero(t, got)
		})
	}

	t.Run("claims changed after signing", func(t *testing.T) {
		token := raw(t, header{"alg": "RS256"}, claims, by(jwt.SigningMethodRS256, rsaKey))
		forged := raw(t, header{"alg": "RS256"}, adminClaims("globex"), nothing)
		_, err := auth.Authenticate(request(t, forged+token[strings.LastIndex(token, ".")+1:]))
		require.ErrorIs(t, err, jwt.ErrTokenSignatureInvalid)
	})
	t.Run("algorithm none with a secret", func(t *testing.T) {
		_, err := secretAuth(t).Authenticate(request(t, raw(t, header{"alg": "none"}, claims, nothing)))
		require.ErrorIs(t, err, jwt.ErrTokenSignatureInvalid)
	})
	t.Run("another algorithm with a secret", func(t *testing.T) {
		_, err := secretAuth(t).Authenticate(request(t,
			raw(t, header{"alg": "HS512"}, claims, by(jwt.SigningMethodHS512, shared))))
		require.ErrorIs(t, err, jwt.ErrTokenSignatureInvalid)
	})
}

func TestUnsafeTokenConfigIsRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	good := writeFile(t, jwks(t, map[string]any{"ec": &key.PublicKey}))
	empty := writeFile(t, []byte(`{"keys":[]}`))
	broken := writeFile(t, []byte(`{"keys":`))
	secret := []byte(testSecret)
	for _, tc := range []struct {
		name string
		cfg  TokenConfig
		want string
	}{
		{"nothing to verify with", TokenConfig{}, "secret or a JWKS"},
		{"both", TokenConfig{Secret: secret, JWKS: good}, "not both"},
		{"a short secret", TokenConfig{Secret: secret[:31]}, "31 bytes, fewer than 32"},
		{"none", TokenConfig{Secret: secret, Algorithm: "none"}, `"none"`},
		{"none with a JWKS", TokenConfig{JWKS: good, Algorithm: "none"}, `"none"`},
		{"an asymmetric algorithm with a secret", TokenConfig{Secret: secret, Algorithm: "RS256"}, `"RS256"`},
		{"a symmetric algorithm with a JWKS", TokenConfig{JWKS: good, Algorithm: "HS256"}, `"HS256"`},
		{"several algorithms", TokenConfig{JWKS: good, Algorithm: "RS256,ES256"}, `"RS256,ES256"`},
		{"a missing file", TokenConfig{JWKS: good + "x"}, "no such file"},
		{"a broken file", TokenConfig{JWKS: broken}, broken},
		{"no keys", TokenConfig{JWKS: empty}, "no keys"},
		{"plain HTTP", TokenConfig{JWKS: "http://id.example/jwks"}, "https"},
		{"another scheme", TokenConfig{JWKS: "file:///etc/jwks"}, "https"},
		{"an admin claim without a value", TokenConfig{Secret: secret, AdminClaim: "role"}, `"role"`},
		{"an admin claim with an empty value", TokenConfig{Secret: secret, AdminClaim: "role="}, `"role="`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewAuthenticator(t.Context(), tc.cfg)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestKeySetFromURL(t *testing.T) {
	oldKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	newKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	token := func(id string, key *ecdsa.PrivateKey) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, adminClaims("acme"))
		token.Header["kid"] = id
		signed, err := token.SignedString(key)
		require.NoError(t, err)
		return "Bearer " + signed
	}
	var served atomic.Pointer[[]byte] // nil if the server fails
	var reads atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reads.Add(1)
		data := served.Load()
		if data == nil {
			http.Error(w, "out of order", http.StatusBadGateway)
			return
		}
		_, _ = w.Write(*data)
	}))
	t.Cleanup(server.Close)
	cfg := func(log *logBuffer) TokenConfig {
		return TokenConfig{
			JWKS: server.URL, Algorithm: "ES256", HTTPClient: server.Client(), Logger: slog.New(slog.NewTextHandler(log, nil)),
		}
	}
	first := jwks(t, map[string]any{"old": &oldKey.PublicKey})
	both := jwks(t, map[string]any{"old": &oldKey.PublicKey, "new": &newKey.PublicKey})

	t.Run("it has to be available at the start", func(t *testing.T) {
		served.Store(nil)
		_, err := NewAuthenticator(t.Context(), cfg(new(logBuffer)))
		require.ErrorContains(t, err, server.URL)
	})
	t.Run("a new key is found", func(t *testing.T) {
		served.Store(&first)
		auth, err := NewAuthenticator(t.Context(), cfg(new(logBuffer)))
		require.NoError(t, err)
		_, err = auth.Authenticate(request(t, token("old", oldKey)))
		require.NoError(t, err)
		served.Store(&both)
		_, err = auth.Authenticate(request(t, token("new", newKey)))
		require.NoError(t, err)
	})
	t.Run("if it cannot be read again, the keys are kept and the log says so", func(t *testing.T) {
		served.Store(&first)
		log := new(logBuffer)
		auth, err := NewAuthenticator(t.Context(), cfg(log))
		require.NoError(t, err)
		served.Store(nil)
		_, err = auth.Authenticate(request(t, token("new", newKey)))
		require.Error(t, err)
		assert.Contains(t, log.String(), "JWKS cannot be read again")
		_, err = auth.Authenticate(request(t, token("old", oldKey)))
		require.NoError(t, err)
	})
	t.Run("unknown keys do not have it read again each time", func(t *testing.T) {
		served.Store(&first)
		auth, err := NewAuthenticator(t.Context(), cfg(new(logBuffer)))
		require.NoError(t, err)
		before := reads.Load()
		for i := range 1000 {
			_, err = auth.Authenticate(request(t, token(fmt.Sprint("x", i), newKey)))
			require.Error(t, err)
		}
		assert.LessOrEqual(t, reads.Load()-before, int64(1))
	})
	t.Run("redirects lead to https only", func(t *testing.T) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://id.example/jwks", nil)
		require.ErrorContains(t, httpsOnly(r, nil), "not https")
		r.URL.Scheme = "https"
		require.NoError(t, httpsOnly(r, nil))
		require.ErrorContains(t, httpsOnly(r, make([]*http.Request, 10)), "too often")
	})
}
