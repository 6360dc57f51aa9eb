package refserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// b64 returns a token of three parts. The third is encoded already.
func b64(header, claims string, sign func(signed string) []byte) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func hmacWith(t *testing.T, method jwt.SigningMethod, secret []byte) func(string) []byte {
	return func(signed string) []byte {
		sum, err := method.Sign(signed, secret)
		require.NoError(t, err)
		return sum
	}
}

// secretAttacks returns attacks on a server whose tokens have a shared secret.
func secretAttacks(t *testing.T) (all []attack) {
	signs := hmacWith(t, jwt.SigningMethodHS256, []byte(testSecret))
	soon := time.Now().Add(time.Hour).Unix()
	const header = `{"alg":"HS256","typ":"JWT"}`
	good := b64(header, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d}`, soon), signs)
	add := func(name string, status int, lines ...string) { all = append(all, withToken(name, status, lines...)) }
	token := func(name, token string) { add(name, 401, signsThat+"Bearer "+token) }
	claims := func(name, claims string) { token("claims: "+name, b64(header, claims, signs)) }

	// The header of the request.
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
		attack{"token in the body", post(ownQuery, "access_token="+good, "Content-Type: application/x-www-form-urlencoded"),
			401},
		attack{"token as user of the URL", "POST http://" + good + "@x/tuf/v1/metadata/online?" + ownQuery +
			" HTTP/1.1\r\nHost: x\r\n\r\n", 401},
	)

	// The encoding of the token.
	token("padded", good+"==")
	token("padded in the middle", strings.Replace(good, ".", "=.", 1))
	token("standard alphabet", strings.Replace(good, ".", "+/.", 1))
	token("percent-encoded", strings.ReplaceAll(good, ".", "%2E"))
	token("loose bits at the end of the signature", looseBits(good))
	token("five parts", good+".a.b")
	token("four parts", good+".")
	token("two parts", good[:strings.LastIndex(good, ".")])
	token("empty parts", "..")
	token("claims swapped", b64(header, `{"username":"globex","role":"admin","exp":9999999999}`,
		func(string) []byte { return nil })+
		good[strings.LastIndex(good, ".")+1:])

	// The signature.
	claimsOf := fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d}`, soon)
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS384", "HS512", "hs256", "HS256 ", "RS256", "ES256",
		"EdDSA", "dir"} {
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
		"empty": {}, "of spaces": []byte("   "), "one byte short": []byte(testSecret[:31]),
		"the word secret": []byte("secret"),
	} {
		token("secret "+name, b64(header, claimsOf, hmacWith(t, jwt.SigningMethodHS256, secret)))
	}

	// The claims, signed with the right secret.
	for name, exp := range map[string]string{
		"expired": fmt.Sprint(time.Now().Add(-time.Minute).Unix()), "zero": "0", "negative": "-1",
		"a string": fmt.Sprintf(`"%d"`, soon),
		"null":     "null", "an array": fmt.Sprintf("[%d]", soon), "true": "true", "huge": "1e300", "beyond floats": "1e999",
	} {
		claims("exp is "+name, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%s}`, exp))
	}
	claims("no exp", `{"username":"acme","role":"admin"}`)
	claims("exp in another case", fmt.Sprintf(`{"username":"acme","role":"admin","Exp":%d}`, soon))
	for name, nbf := range map[string]string{"to come": fmt.Sprint(soon), "a string": `"0"`,
		"at the end of time": "1e300"} {
		claims("nbf is "+name, fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d,"nbf":%s}`, soon, nbf))
	}
	claims("iat is to come", fmt.Sprintf(`{"username":"acme","role":"admin","exp":%d,"iat":%d}`, soon, soon))
	for name, owner := range map[string]string{
		"an array": `["acme"]`, "empty": `""`, "null": "null", "a number": "1", "an object": `{"acme":1}`,
		"../acme": `"../acme"`,
		"..":      `".."`, "acme/desktop": `"acme/desktop"`, "acme/": `"acme/"`, "/acme": `"/acme"`, `acme\x`: `"acme\\x"`,
		".acme": `".acme"`,
		"NUL":   `"acme\u0000"`, "a newline": `"acme\n"`, "half a surrogate pair and a slash": `"acme\ud800/x"`,
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
		"user": `"user"`, "an array": `["admin"]`, "true": "true", "null": "null", "ADMIN": `"ADMIN"`,
		"admin and a space": `"admin "`,
		"admin and a NUL":   `"admin\u0000"`, "an object": `{"admin":true}`,
	} {
		forbidden("role is "+name, fmt.Sprintf(`{"username":"acme","role":%s,"exp":%d}`, role, soon))
	}
	forbidden("no role", fmt.Sprintf(`{"username":"acme","exp":%d}`, soon))
	forbidden("role in another case", fmt.Sprintf(`{"username":"acme","Role":"admin","exp":%d}`, soon))
	forbidden("role twice: the last counts", fmt.Sprintf(`{"username":"acme","role":"admin","role":"user","exp":%d}`,
		soon))
	// RFC 7519, section 4: a repeated claim is an error, or the last one counts.
	forbidden("username twice: the last counts",
		fmt.Sprintf(`{"username":"acme","username":"globex","role":"admin","exp":%d}`, soon))
	for _, owner := range []string{"globex", "Acme", "acm", "acmes", "acme ", "асme" /* two of them Cyrillic */, "ａcme",
		"acme\u200b", "acme."} {
		forbidden(fmt.Sprintf("another owner's app: %+q", owner),
			fmt.Sprintf(`{"username":%q,"role":"admin","exp":%d}`, owner, soon))
	}
	return all
}

// looseBits replaces the last character of a token by another one that decodes to the same bytes.
func looseBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1]) // of 32 bytes: four bits, and two that are zero
	return token[:len(token)-1] + alphabet[last|1:last|1+1]
}

// keySetAttacks returns attacks on a server whose tokens are signed by a key set, with RS256 or
// ES256. Some tokens name a URL, which the server must not fetch.
func keySetAttacks(t *testing.T, algorithm string, rsaKey *rsa.PrivateKey, ecKey *ecdsa.PrivateKey,
	trap string) (all []attack) {
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
	token("another algorithm of the same key set", `{"alg":"PS256","kid":"rsa"}`, good,
		by(t, jwt.SigningMethodPS256, rsaKey))
	for _, kid := range []string{
		`"x"`, `""`, `1`, `null`, `["rsa"]`, `"../../etc/passwd"`, `"rsa\u0000"`, `"' or 1=1 --"`, `"` +
			strings.Repeat("k", 4000) + `"`,
	} {
		token("kid "+kid[:min(len(kid), 20)], fmt.Sprintf(`{"alg":%q,"kid":%s}`, algorithm, kid), good, stranger)
	}
	token("a wrong kid over a right signature", fmt.Sprintf(`{"alg":%q,"kid":"x"}`, algorithm), good, signs)
	jwk := string(jwks(t, map[string]any{kid: map[string]any{"RS256": any(&strangerRSA.PublicKey),
		"ES256": any(&strangerEC.PublicKey)}[algorithm]}))
	for _, field := range []string{
		`"jwk":` + jwk[len(`{"keys":[`):len(jwk)-len(`]}`)], fmt.Sprintf(`"jku":%q`, trap), fmt.Sprintf(`"x5u":%q`, trap),
		`"x5c":["AAAA"]`, `"crit":["x"]`,
	} {
		token("brings its own key: "+field[:6], fmt.Sprintf(`{"alg":%q,"kid":%q,%s}`, algorithm, kid, field), good, stranger)
		token("brings its own key, without a kid: "+field[:6], fmt.Sprintf(`{"alg":%q,%s}`, algorithm, field), good, stranger)
	}
	for _, wrong := range []string{`"https://other.example"`, `"https://id.example/"`, `null`, `1`,
		`["https://id.example"]`} {
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
