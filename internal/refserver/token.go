package refserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/tufonline/tufonline/tufupdate"
)

// MinSecret is the length in bytes of the shortest secret that is accepted. It is that of a
// SHA-256.
const MinSecret = 32

// jwksTimeout limits the fetching of a key set.
const jwksTimeout = 5 * time.Second

// maxTime is the largest number of seconds, positive or negative, that counts as a time. The parser
// turns numbers into integers, where larger ones overflow and could make a token valid too early.
const maxTime = 1 << 53

// A TokenConfig decides which tokens are valid. Either Secret or JWKS is required.
type TokenConfig struct {
	// Secret verifies HMAC tokens. It has MinSecret bytes at least.
	Secret []byte

	// JWKS names the public keys of signed tokens: a file, or an https URL that is read again every
	// hour.
	JWKS string

	// Algorithm is the only one that is accepted. A token's own header does not change it. The
	// default is HS256 with a secret and RS256 with a JWKS.
	Algorithm string

	// AdminClaim is <claim>=<value>. A token with this claim, as a string, is an admin's. If empty,
	// every valid token is an admin's.
	AdminClaim string

	// OperatorClaim is <claim>=<value>. A token with this claim, as a string, is an operator's. If
	// empty, no token is. An operator is not thereby an admin.
	OperatorClaim string

	Issuer   string // if not empty, a token's iss has to be it
	Audience string // if not empty, a token's aud has to contain it

	// HTTPClient fetches the JWKS. The default follows redirects to https only.
	HTTPClient *http.Client

	// Logger gets a warning when the JWKS cannot be read again. If nil, nothing is logged.
	Logger *slog.Logger
}

// An Identity is the sender of a request, by its token.
type Identity struct {
	Owner    string // one plain segment
	Admin    bool   // of the owner's apps
	Operator bool   // of the server, for the apps of all owners
}

// An Authenticator finds the sender of a request by a JSON Web Token. Many goroutines may use it at
// once.
type Authenticator struct {
	parser   *jwt.Parser
	keys     func(context.Context) jwt.Keyfunc
	admin    claim // if none, every token is an admin's
	operator claim // if none, no token is an operator's
}

// A claim is a claim of tokens with its value, which is a string. The zero claim is none.
type claim struct{ name, value string }

// parseClaim reads <claim>=<value>. An empty text is none. who is whose claim it is.
func parseClaim(who, text string) (claim, error) {
	name, value, ok := strings.Cut(text, "=")
	if text != "" && (!ok || name == "" || value == "") {
		return claim{}, fmt.Errorf("%s claim %q is not <claim>=<value>", who, text)
	}
	return claim{name, value}, nil
}

func (c claim) isIn(claims jwt.MapClaims) bool { return claims[c.name] == c.value }

// NewAuthenticator returns an Authenticator. It reads the JWKS, which has to hold a key. A JWKS at
// a URL is read again from time to time until ctx ends.
func NewAuthenticator(ctx context.Context, cfg TokenConfig) (*Authenticator, error) {
	admin, err := parseClaim("admin", cfg.AdminClaim)
	if err != nil {
		return nil, err
	}
	operator, err := parseClaim("operator", cfg.OperatorClaim)
	if err != nil {
		return nil, err
	}
	a := &Authenticator{admin: admin, operator: operator}
	var algorithms []string
	switch {
	case len(cfg.Secret) > 0 && cfg.JWKS != "":
		return nil, errors.New("tokens are verified with a secret or a JWKS, not both")
	case len(cfg.Secret) > 0:
		if len(cfg.Secret) < MinSecret {
			return nil, fmt.Errorf("token secret has %d bytes, fewer than %d", len(cfg.Secret), MinSecret)
		}
		algorithms = []string{"HS256", "HS384", "HS512"}
		secret := slices.Clone(cfg.Secret)
		a.keys = func(context.Context) jwt.Keyfunc { return func(*jwt.Token) (any, error) { return secret, nil } }
	case cfg.JWKS != "":
		algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
		set, err := openJWKS(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("reading the JWKS %s: %w", cfg.JWKS, err)
		}
		a.keys = set.KeyfuncCtx
	default:
		return nil, errors.New("tokens need a secret or a JWKS to be verified with")
	}
	algorithm := cmp.Or(cfg.Algorithm, algorithms[0])
	if !slices.Contains(algorithms, algorithm) {
		return nil, fmt.Errorf("token algorithm %q is not one of %s", algorithm, strings.Join(algorithms, ", "))
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(),
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	a.parser = jwt.NewParser(options...)
	return a, nil
}

// openJWKS reads a key set and checks that it holds a key.
func openJWKS(ctx context.Context, cfg TokenConfig) (keyfunc.Keyfunc, error) {
	set, err := loadJWKS(ctx, cfg)
	if err != nil {
		return nil, err
	}
	known, err := set.Storage().KeyReadAll(ctx)
	if err != nil {
		return nil, err
	}
	if len(known) == 0 {
		return nil, errors.New("it holds no keys")
	}
	return set, nil
}

// loadJWKS reads a key set from a file or an https URL.
func loadJWKS(ctx context.Context, cfg TokenConfig) (keyfunc.Keyfunc, error) {
	if !strings.Contains(cfg.JWKS, "://") {
		data, err := os.ReadFile(cfg.JWKS)
		if err != nil {
			return nil, err
		}
		return keyfunc.NewJWKSetJSON(data)
	}
	u, err := url.Parse(cfg.JWKS)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("it is neither a file nor an https URL")
	}
	client := cmp.Or(cfg.HTTPClient, &http.Client{CheckRedirect: httpsOnly})
	log := cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	tolerateFirst := false
	return keyfunc.NewDefaultOverrideCtx(ctx, []string{cfg.JWKS}, keyfunc.Override{
		Client:                    client,
		HTTPTimeout:               jwksTimeout,
		NoErrorReturnFirstHTTPReq: &tolerateFirst,
		// A token with an unknown key ID makes the set be read again, at most every few minutes.
		RateLimitWaitMax: jwksTimeout,
		RefreshErrorHandlerFunc: func(u string) func(context.Context, error) {
			return func(ctx context.Context, err error) {
				log.WarnContext(ctx, "JWKS cannot be read again: the cached keys stay", "url", u, "error", err)
			}
		},
	})
}

func httpsOnly(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" {
		return fmt.Errorf("redirected to %s, which is not https", r.URL.Redacted())
	}
	if len(via) >= 10 {
		return errors.New("redirected too often")
	}
	return nil
}

// Authenticate returns the sender of a request. The request has to have one Authorization header.
// Errors describe the token and never quote it.
func (a *Authenticator) Authenticate(r *http.Request) (Identity, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Identity{}, fmt.Errorf("%d Authorization headers instead of one", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, errors.New("authorization is not by bearer token")
	}
	claims := jwt.MapClaims{} // fields of a struct would match claims in another case
	if _, err := a.parser.ParseWithClaims(token, claims, a.keys(r.Context())); err != nil {
		return Identity{}, err
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if seconds, ok := claims[name].(float64); ok && math.Abs(seconds) > maxTime {
			return Identity{}, fmt.Errorf("claim %s is no time", name)
		}
	}
	owner, ok := claims["username"].(string)
	if !ok || strings.Contains(owner, "/") || tufupdate.CheckApp(owner) != nil {
		return Identity{}, errors.New("claim username is not one plain segment of an app name")
	}
	return Identity{
		Owner:    owner,
		Admin:    a.admin == claim{} || a.admin.isIn(claims),
		Operator: a.operator != claim{} && a.operator.isIn(claims),
	}, nil
}
