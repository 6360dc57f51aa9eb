package refserver

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A house is all that is behind the door: the repositories acme/desktop and globex/desktop with their keys, an updater that works tasks,
// and counters of what attackers must not bring about.
type house struct {
	updater *tufupdate.Updater
	acme    *testrepo.Provider
	globex  *testrepo.Provider
	added   atomic.Int64 // tasks
	log     *logBuffer
}

// Signer asks the owner's provider: the method of keys.Provider.
func (h *house) Signer(ctx context.Context, req keys.Request) (signature.Signer, error) {
	if req.App == "globex/desktop" {
		return h.globex.Signer(ctx, req)
	}
	return h.acme.Signer(ctx, req)
}

func (h *house) signatures() int64 { return h.acme.Signatures() + h.globex.Signatures() }

// countedTasks counts the tasks added.
type countedTasks struct {
	tasks.Store
	added *atomic.Int64
}

func (c countedTasks) Add(ctx context.Context, task tasks.Task) error {
	c.added.Add(1)
	return c.Store.Add(ctx, task)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store := storage.NewMemory()
	acme := testrepo.New(t, store, testrepo.Options{App: "acme/desktop"})
	globex := testrepo.New(t, store, testrepo.Options{App: "globex/desktop"})
	roots := map[string][]byte{acme.App: acme.Root, globex.App: globex.Root}
	h := &house{acme: acme.Provider(t), globex: globex.Provider(t), log: new(logBuffer)}
	updater, err := tufupdate.New(tufupdate.Config{
		Store: store, Keys: h, Tasks: countedTasks{tasks.NewMemory(tasks.MemoryOptions{}), &h.added},
		Roots: func(_ context.Context, app string) ([]byte, error) {
			if root, ok := roots[app]; ok {
				return root, nil
			}
			return nil, tufupdate.ErrNotBootstrapped
		},
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	require.NoError(t, err)
	h.updater = updater
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() { worked <- updater.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-worked)
	})
	return h
}

// open puts a door before the house and returns its address.
func (h *house) open(t *testing.T, cfg TokenConfig) (address string) {
	t.Helper()
	cfg.AdminClaim = "role=admin"
	auth, err := NewAuthenticator(t.Context(), cfg)
	require.NoError(t, err)
	s, err := New(Config{Updater: h.updater, Auth: auth, Logger: slog.New(slog.NewTextHandler(h.log, nil))})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// ask writes a request as it is, and returns the status of the answer.
func ask(t *testing.T, address, request string) (status int, body string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, request) }() // the server may not want to hear all of it
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err, "%.80s", request)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// post is an update request with a query, header lines and a body.
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

// withToken is an update request of the owner acme that is in order but for its header lines.
func withToken(name string, status int, lines ...string) attack {
	return attack{name, post(ownQuery, `{"roles":["timestamp"]}`, append(lines, jsonType)...), status}
}

// b64 returns a token of three parts, of which the third is raw.
func b64(header, claims string, sign func(signed string) []byte) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func hmacWith(t *testing.T, method jwt.SigningMethod, secret []byte) func(string) []byte {
	return func(signed string) []byte {
		sum, err := method.Sign(signed, secret)
		require.NoError(t, err)
		return sum
	}
}

// secretAttacks are those on a door whose tokens have a shared secret.
func secretAttacks(t *testing.T) (all []attack) {
	signs := hmacWith(t, jwt.SigningMethodHS256, []byte(testSecret))
	soon := time.Now().Add(time.Hour).Unix()
	const header = `{"alg":"HS256","typ":"JWT"}`
	good := b64(header, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d}`, soon), signs)
	add := func(name string, status int, lines ...string) { all = append(all, withToken(name, status, lines...)) }
	token := func(name, token string) { add(name, 401, signsThat+"Bearer "+token) }
	claims := func(name, claims string) { token("claims: "+name, b64(header, claims, signs)) }

	// How a token is sent.
	add("no Authorization header", 401)
	add("empty header", 401, "Authorization:")
	add("two Authorization headers", 401, signsThat+"Bearer "+good, signsThat+"Bearer "+good)
	add("two Authorization headers, one in another case", 401, signsThat+"Bearer "+good, "aUTHORIZATION: Bearer "+good)
	add("Bearer twice", 401, signsThat+"Bearer Bearer "+good)
	add("two tokens in a list", 401, signsThat+"Bearer "+good+", Bearer "+good)
	add("Basic", 401, signsThat+"Basic "+good)
	add("no scheme", 401, signsThat+good)
	add("a tab for the space", 401, signsThat+"Bearer\t"+good)
	add("another header", 401, "X-Authorization: Bearer "+good)
	add("proxy's header", 401, "Proxy-Authorization: Bearer "+good)
	add("a cookie", 401, "Cookie: token="+good+"; Authorization=Bearer "+good)
	add("folded header", 401, signsThat+"Bearer "+good[:20]+"\r\n "+good[20:])
	add("newline in the token", 400, signsThat+"Bearer "+good[:20]+"\n"+good[20:])
	add("NUL in the token", 400, signsThat+"Bearer "+good+"\x00")
	add("token of 12 kB", 401, signsThat+"Bearer "+strings.Repeat("a", 12_000))
	add("token of 1 MB", 431, signsThat+"Bearer "+strings.Repeat("a", 1<<20))
	add("a million dots", 431, signsThat+"Bearer "+strings.Repeat(".", 1<<20))
	add("10,000 dots", 401, signsThat+"Bearer "+strings.Repeat(".", 10_000))
	for _, name := range []string{"access_token", "token", "Authorization", "jwt"} {
		all = append(all, attack{"token in the query: " + name, post(ownQuery+"&"+name+"="+good, "{}", jsonType), 401})
	}
	all = append(all,
		attack{"token in the body", post(ownQuery, "access_token="+good, "Content-Type: application/x-www-form-urlencoded"), 401},
		attack{"token as user of the URL", "POST http://" + good + "@x/tuf/v1/metadata/online?" + ownQuery + " HTTP/1.1\r\nHost: x\r\n\r\n", 401},
	)

	// How it is encoded.
	token("padded", good+"==")
	token("padded in the middle", strings.Replace(good, ".", "=.", 1))
	token("standard alphabet", strings.Replace(good, ".", "+/.", 1))
	token("percent-encoded", strings.ReplaceAll(good, ".", "%2E"))
	token("loose bits at the end of the signature", looseBits(good))
	token("five parts", good+".a.b")
	token("four parts", good+".")
	token("two parts", good[:strings.LastIndex(good, ".")])
	token("empty parts", "..")
	token("claims swapped", b64(header, `{"username":"globex","role":"admin","exp":9999999999}`, func(string) []byte { return nil })+
		good[strings.LastIndex(good, ".")+1:])

	// How it is signed.
	claimsOf := fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d}`, soon)
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS384", "HS512", "hs256", "HS256 ", "RS256", "ES256", "EdDSA", "dir"} {
		h := fmt.Sprintf(`{"alg":%q,"typ":"JWT"}`, alg)
		token("alg "+alg+" without a signature", b64(h, claimsOf, func(string) []byte { return nil }))
		token("alg "+alg+" with a signature", b64(h, claimsOf, signs))
	}
	token("alg HS512 signed so", b64(`{"alg":"HS512"}`, claimsOf, hmacWith(t, jwt.SigningMethodHS512, []byte(testSecret))))
	token("no alg", b64(`{"typ":"JWT"}`, claimsOf, signs))
	token("alg of a wrong type", b64(`{"alg":["HS256"]}`, claimsOf, signs))
	token("alg twice, none last", b64(`{"alg":"HS256","alg":"none"}`, claimsOf, signs))
	token("header that is no object", b64(`null`, claimsOf, signs))
	token("header deep as a well", b64(strings.Repeat("[", 4000), claimsOf, signs))
	for name, secret := range map[string][]byte{
		"empty": {}, "of spaces": []byte("   "), "one byte short": []byte(testSecret[:31]), "the word secret": []byte("secret"),
	} {
		token("secret "+name, b64(header, claimsOf, hmacWith(t, jwt.SigningMethodHS256, secret)))
	}

	// What it says, signed with the right secret.
	for name, exp := range map[string]string{
		"expired": fmt.Sprint(time.Now().Add(-time.Minute).Unix()), "zero": "0", "negative": "-1", "a string": fmt.Sprintf(`"%d"`, soon),
		"null": "null", "an array": fmt.Sprintf("[%d]", soon), "true": "true", "huge": "1e300", "beyond floats": "1e999",
	} {
		claims("exp is "+name, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%s}`, exp))
	}
	claims("no exp", `{"username":"acme","role":"admin"}`)
	claims("exp in another case", fmt.Sprintf(`{"username":"acme","role":"admin","Exp":%d}`, soon))
	for name, nbf := range map[string]string{"to come": fmt.Sprint(soon), "a string": `"0"`, "at the end of time": "1e300"} {
		claims("nbf is "+name, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d,"nbf":%s}`, soon, nbf))
	}
	claims("iat is to come", fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d,"iat":%d}`, soon, soon))
	for name, owner := range map[string]string{
		"an array": `["acme"]`, "empty": `""`, "null": "null", "a number": "1", "an object": `{"acme":1}`, "../acme": `"../acme"`,
		"..": `".."`, "acme/desktop": `"acme/desktop"`, "acme/": `"acme/"`, "/acme": `"/acme"`, `acme\x`: `"acme\\x"`, ".acme": `".acme"`,
		"NUL": `"acme\u0000"`, "a newline": `"acme\n"`, "half a surrogate pair and a slash": `"acme\ud800/x"`,
		"2 kB": `"` + strings.Repeat("a", 2000) + `"`,
	} {
		claims("username is "+name, fmt.Sprintf(`{"username":%s,"role":"admin","exp":%d}`, owner, soon))
	}
	claims("no username", fmt.Sprintf(`{"role":"admin","exp":%d}`, soon))
	claims("username in another case", fmt.Sprintf(`{"Username":"acme","role":"admin","exp":%d}`, soon))
	claims("no object", `["acme"]`)
	claims("null", `null`)
	claims("two objects", claimsOf+claimsOf)
	claims("deep as a well", `{"username":"acme","role":"admin","x":`+strings.Repeat("[", 5000))

	forbidden := func(name, claims string) {
		add("claims: "+name, 403, signsThat+"Bearer "+b64(header, claims, signs))
	}
	for name, role := range map[string]string{
		"user": `"user"`, "an array": `["admin"]`, "true": "true", "null": "null", "ADMIN": `"ADMIN"`, "admin and a space": `"admin "`,
		"admin and a NUL": `"admin\u0000"`, "an object": `{"admin":true}`,
	} {
		forbidden("role is "+name, fmt.Sprintf(`{"username":"acme","role":%s,"exp":%d}`, role, soon))
	}
	forbidden("no role", fmt.Sprintf(`{"username":"acme","exp":%d}`, soon))
	forbidden("role in another case", fmt.Sprintf(`{"username":"acme","Role":"admin","exp":%d}`, soon))
	forbidden("role twice: the last counts", fmt.Sprintf(`{"username":"acme","role":"admin","role":"user","exp":%d}`, soon))
	// RFC 7519, section 4: of a claim given twice the last counts, or it is an error.
	forbidden("username twice: the last counts", fmt.Sprintf(`{"username":"acme","username":"globex","role":"admin","exp":%d}`, soon))
	for _, owner := range []string{"globex", "Acme", "acm", "acmes", "acme ", "асme" /* two of them Cyrillic */, "ａcme", "acme\u200b", "acme."} {
		forbidden(fmt.Sprintf("another owner's app: %+q", owner), fmt.Sprintf(`{"username":%q,"role":"admin","exp":%d}`, owner, soon))
	}
	return all
}

// looseBits returns the token with its last character replaced by another that stands for the same bytes.
func looseBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1]) // of 32 bytes: four bits, and two that are zero
	return token[:len(token)-1] + alphabet[last|1:last|1+1]
}

// keySetAttacks are those on a door whose tokens are signed by keys of a set, with RS256 or ES256. Meanwhile nothing may be fetched
// from the URL that tokens name.
func keySetAttacks(t *testing.T, algorithm string, rsaKey *rsa.PrivateKey, ecKey *ecdsa.PrivateKey, trap string) (all []attack) {
	strangerRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	strangerEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	soon := time.Now().Add(time.Hour).Unix()
	const issuer, audience = "https://id.example", "tuf"
	claims := func(iss, aud string) string {
		return fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d,"iss":%s,"aud":%s}`, soon, iss, aud)
	}
	good := claims(`"`+issuer+`"`, `"`+audience+`"`)
	signs, stranger, kid := by(t, jwt.SigningMethodRS256, rsaKey), by(t, jwt.SigningMethodRS256, strangerRSA), "rsa"
	if algorithm == "ES256" {
		signs, stranger, kid = by(t, jwt.SigningMethodES256, ecKey), by(t, jwt.SigningMethodES256, strangerEC), "ec"
	}
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, algorithm, kid)
	token := func(name, header, claims string, sign func(string) []byte) {
		all = append(all, withToken(algorithm+": "+name, 401, signsThat+"Bearer "+b64(header, claims, sign)))
	}
	nothing := func(string) []byte { return nil }

	for name, public := range map[string]any{"RSA": &rsaKey.PublicKey, "EC": &ecKey.PublicKey} {
		der, err := x509.MarshalPKIXPublicKey(public)
		require.NoError(t, err)
		file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		secrets := map[string][]byte{"DER": der, "PEM": file, "PEM without its last newline": file[:len(file)-1]}
		if name == "RSA" {
			secrets["PKCS #1"] = x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)
			secrets["modulus"] = rsaKey.N.Bytes()
		}
		for form, secret := range secrets {
			for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				for _, alg := range []string{method.Alg(), algorithm} {
					token(fmt.Sprintf("%s by the %s public key's %s, said to be %s", method.Alg(), name, form, alg),
						fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid), good, hmacWith(t, method, secret))
				}
			}
		}
	}
	for _, alg := range []string{"none", "None", "nOnE", ""} {
		h := fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid)
		token("alg "+alg+" without a signature", h, good, nothing)
		token("alg "+alg+" with a signature", h, good, signs)
	}
	token("no signature", header, good, nothing)
	token("signature of zeros", header, good, func(string) []byte { return make([]byte, 64) })
	token("signature of 256 zeros", header, good, func(string) []byte { return make([]byte, 256) })
	token("signed by a stranger", header, good, stranger)
	token("another algorithm of the same key set", `{"alg":"PS256","kid":"rsa"}`, good, by(t, jwt.SigningMethodPS256, rsaKey))
	for _, kid := range []string{
		`"x"`, `""`, `1`, `null`, `["rsa"]`, `"../../etc/passwd"`, `"rsa\u0000"`, `"' or 1=1 --"`, `"` + strings.Repeat("k", 4000) + `"`,
	} {
		token("kid "+kid[:min(len(kid), 20)], fmt.Sprintf(`{"alg":%q,"kid":%s}`, algorithm, kid), good, stranger)
	}
	token("a wrong kid over a right signature", fmt.Sprintf(`{"alg":%q,"kid":"x"}`, algorithm), good, signs)
	jwk := string(jwks(t, map[string]any{kid: map[string]any{"RS256": any(&strangerRSA.PublicKey), "ES256": any(&strangerEC.PublicKey)}[algorithm]}))
	for _, field := range []string{
		`"jwk":` + jwk[len(`{"keys":[`):len(jwk)-len(`]}`)], fmt.Sprintf(`"jku":%q`, trap), fmt.Sprintf(`"x5u":%q`, trap),
		`"x5c":["AAAA"]`, `"crit":["x"]`,
	} {
		token("brings its own key: "+field[:6], fmt.Sprintf(`{"alg":%q,"kid":%q,%s}`, algorithm, kid, field), good, stranger)
		token("brings its own key, without a kid: "+field[:6], fmt.Sprintf(`{"alg":%q,%s}`, algorithm, field), good, stranger)
	}
	for _, wrong := range []string{`"https://other.example"`, `"https://id.example/"`, `null`, `1`, `["https://id.example"]`} {
		token("issuer "+wrong, header, claims(wrong, `"`+audience+`"`), signs)
	}
	for _, wrong := range []string{`"tufs"`, `"TUF"`, `null`, `1`, `[]`, `["x"]`, `[["tuf"]]`, `{"tuf":1}`} {
		token("audience "+wrong, header, claims(`"`+issuer+`"`, wrong), signs)
	}
	token("no issuer, no audience", header, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d}`, soon), signs)
	return all
}

func by(t *testing.T, method jwt.SigningMethod, key any) func(string) []byte {
	return func(signed string) []byte {
		sum, err := method.Sign(signed, key)
		require.NoError(t, err)
		return sum
	}
}

// requestAttacks are those of an admin: of the owner acme, with a token that is in order.
func requestAttacks(t *testing.T, foreignTask string) (all []attack) {
	token := signsThat + bearer(t, adminClaims("acme"))
	query := func(name string, status int, query string) {
		all = append(all, attack{"query: " + name, post(query, `{"roles":["timestamp"]}`, token, jsonType), status})
	}
	body := func(name string, status int, body string) {
		all = append(all, attack{"body: " + name, post(ownQuery, body, token, jsonType), status})
	}
	get := func(name string, status int, target string) {
		all = append(all, attack{name, "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + token + "\r\n\r\n", status})
	}

	for _, app := range []string{
		"globex/desktop", "globex%2Fdesktop", "globex%2fdesktop", "%67lobex/desktop", "acmes/desktop", "Acme/desktop", "acme%20/desktop",
	} {
		query("another owner's app "+app, 403, "appName="+app)
		get("status of another owner's app "+app, 403, "/tuf/v1/status?appName="+app)
	}
	for _, app := range []string{
		"acme/other", "acme/Desktop", "acme/desktop/x", "acme/desktop.", "acme/desktop%20", "acme/desktop%EF%BC%8F",
		"acme/d%D0%B5sktop", "acme/desktop%E2%80%8B",
		"acme/%EF%BC%8E%EF%BC%8E%2Fglobex%2Fdesktop", "acme/%252e%252e%252fglobex%252fdesktop", "acme/timestamp.json",
		"acme/desktop/targets",
	} {
		query("no such app "+app, 404, "appName="+app)
	}
	for _, app := range []string{
		"", "acme", "acme%252Fdesktop", "/acme/desktop", "acme/desktop/", "acme//desktop", "acme/../globex/desktop",
		"acme%2F..%2Fglobex%2Fdesktop", "acme/%2e%2e/globex/desktop",
		"..", ".", "./acme/desktop", "acme/.", "acme/./desktop", "../acme/desktop", "acme/desktop/..", "acme/.desktop",
		"acme/.filestore", "acme/desktop%00", "acme%00/desktop",
		"acme/desktop%0d%0aX-Evil:%201", "acme/desktop%0a", "acme/desk%C2%85top", "acme%5Cdesktop", "acme/..%5Cglobex",
		"acme/%ff%fe", "acme/%ed%a0%80", "acme/%c0%ae%c0%ae/globex/desktop",
		"%2e%2e%2f%2e%2e%2fetc%2fpasswd", "acme%25%32%66desktop", "acme/" + strings.Repeat("a", 10_000),
		strings.Repeat("acme/", 2_000), "acme" + strings.Repeat("%2F..", 1_000),
	} {
		query("app "+app[:min(len(app), 50)], 400, "appName="+app)
	}
	query("app of 1 MB", 431, "appName=acme/"+strings.Repeat("a", 1<<20))
	for name, q := range map[string]string{
		"missing": "", "in another case": "appname=acme/desktop", "as an array": "appName[]=acme/desktop",
		"twice":                        "appName=acme/desktop&appName=acme/desktop",
		"twice, another owner's last":  "appName=acme/desktop&appName=globex/desktop",
		"twice, another owner's first": "appName=globex/desktop&appName=acme/desktop",
		"twice, one encoded":           "appName=acme/desktop&%61pp%4eame=globex/desktop", "twice, one empty": "appName=acme/desktop&appName=",
		"twice, one bare": "appName=acme/desktop&appName",
		"a broken escape": "appName=acme/desktop&x=%zz", "a semicolon": "appName=acme/desktop;appName=globex/desktop",
		"a thousand times":    strings.Repeat("appName=acme/desktop&", 500),
		"a space in the name": "appName%20=acme/desktop", "NUL in the name": "appName%00=acme/desktop",
	} {
		query("parameter "+name, 400, q)
	}

	for name, b := range map[string]string{
		"null": "null", "true": "true", "a number": "1", "a string": `"timestamp"`, "an array": `["timestamp"]`, "spaces": "  ",
		"half an object": `{"roles":["timestamp"]`,
		"two objects":    `{}{}`, "a comment": `{}/**/`, "single quotes": `{'roles':[]}`, "NaN": `{"roles":NaN}`,
		"byte order mark": "\ufeff{}",
		"unknown member":  `{"force":true}`, "unknown member beside roles": `{"roles":["timestamp"],"appName":"globex/desktop"}`,
		"member in another case": `{"ROLES":["timestamp"]}`,
		"members of a prototype": `{"__proto__":{"roles":["root"]}}`, "roles twice": `{"roles":["timestamp"],"roles":["snapshot"]}`,
		"roles twice, one escaped": `{"roles":["timestamp"],"\u0072oles":["root"]}`, "roles a string": `{"roles":"timestamp"}`,
		"roles an object": `{"roles":{"0":"timestamp"}}`,
		"role null":       `{"roles":[null]}`, "role a number": `{"roles":[1]}`, "role an array": `{"roles":[["timestamp"]]}`,
		"role root":                `{"roles":["root"]}`,
		"role root beside another": `{"roles":["timestamp","root"]}`, "role root escaped": `{"roles":["timestamp","\u0072oot"]}`,
		"no name of a role": `{"roles":[""]}`,
		"unknown role":      `{"roles":["nope"]}`, "Root": `{"roles":["Root"]}`,
		"role with a path": `{"roles":["../../globex/desktop/timestamp"]}`, "role with NUL": `{"roles":["timestamp\u0000"]}`,
		"role of look-alikes": `{"roles":["tіmestamp"]}`, "role with a space": `{"roles":["timestamp "]}`,
		"role with a version": `{"roles":["2.snapshot"]}`, "lone surrogate": `{"roles":["\ud800"]}`,
		"not UTF-8": "{\"roles\":[\"\xff\"]}", "UTF-16 with mark": utf16Of(true, `{"roles":["timestamp"]}`),
		"UTF-16":                     utf16Of(false, `{"roles":["timestamp"]}`),
		"arrays 30,000 deep":         strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"roles 30,000 deep":          `{"roles":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + "}",
		"objects 9,000 deep":         strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_000),
		"20,000 roles that are none": `{"roles":["` + strings.Repeat(`","`, 20_000) + `"]}`,
		"a role of 60 kB":            `{"roles":["` + strings.Repeat("r", 60_000) + `"]}`,
		"a number of 60 kB":          `{"roles":` + strings.Repeat("9", 60_000) + `}`,
		"10,000 unknown roles":       `{"roles":["timestamp"` + strings.Repeat(`,"r"`, 10_000) + `]}`,
		"members without end":        `{` + strings.Repeat(`"roles":[],`, 5_000) + `"roles":[]}`,
	} {
		body(name, 400, b)
	}
	body("arrays 100,000 deep", 413, strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000))
	body("a million roles", 413, `{"roles":["timestamp"`+strings.Repeat(`,"timestamp"`, 1_000_000)+`]}`)
	body("one byte more than 64 KiB", 413, `{}`+strings.Repeat(" ", maxBody-1))
	for _, contentType := range []string{
		"Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/jsonp",
		"Content-Type: application/json, text/plain",
		"Content-Type:", "X: y", jsonType + "\r\n" + jsonType,
	} {
		all = append(all, attack{"type: " + contentType, post(ownQuery, `{"roles":["timestamp"]}`, token, contentType), 400})
	}
	all = append(all, attack{"compressed body", post(ownQuery, "\x1f\x8b\x08\x00\x00\x00\x00\x00", token, jsonType, "Content-Encoding: gzip"), 400})

	for _, id := range []string{
		foreignTask, strings.ToUpper(foreignTask), uuid.NewString(), uuid.Nil.String(), "urn:uuid:" + foreignTask,
		"%7B" + foreignTask + "%7D", strings.ReplaceAll(foreignTask, "-", ""),
		foreignTask + "%00", "x", "..%2f..%2fglobex", strings.Repeat("a", 10_000), "%ff", "*", "%25", "1%20or%201=1",
	} {
		get("task "+id[:min(len(id), 50)], 404, "/tuf/v1/task?task_id="+id)
	}
	for _, q := range []string{
		"", "task_id=", "task_id", "Task_id=" + foreignTask, "task_id=" + foreignTask + "&task_id=" + foreignTask, "task_id=%zz",
	} {
		get("task query "+q[:min(len(q), 50)], 400, "/tuf/v1/task?"+q)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "QUERY"} {
		for _, override := range []string{"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"} {
			request := strings.Replace(post(ownQuery+"&_method=POST", "", token, override), "POST", method, 1)
			all = append(all, attack{method + " with " + override, request, 405})
		}
	}
	return all
}

func utf16Of(mark bool, s string) string {
	units := utf16.Encode([]rune(s))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var out strings.Builder
	for _, u := range units {
		out.WriteByte(byte(u))
		out.WriteByte(byte(u >> 8))
	}
	return out.String()
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
		good    string // a token with which the very same request is accepted
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
		// What is refused above is not refused for something else.
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
