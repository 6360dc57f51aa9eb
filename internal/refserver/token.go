package refserver

import (
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

// MinSecret is the length in bytes of the shortest secret that is accepted: that of the hash it is
// used with.
const MinSecret = 32

// jwksTimeout is what fetching a key set may take.
const jwksTimeout = 5 * time.Second

// maxTime is the largest number of seconds, either way, that is taken for a time. The parser turns
// larger ones into integers, which overflow: "not before the end of time" would become "since
// ever".
const maxTime = 1 << 53

// A TokenConfig says which tokens are valid. There is either a Secret or a JWKS.
type TokenConfig struct {
	Secret []byte // of HMAC tokens, at least MinSecret bytes
	JWKS   string // where the public keys of signed tokens are: a file, or an https URL that is read again every hour

	// Algorithm is the only one accepted, whatever a token says about itself. Empty means HS256
	// with a secret, RS256 with a JWKS.
	Algorithm string

	// AdminClaim is <claim>=<value>: whose token has that claim with that string value is an admin.
	// Empty: every valid token is an admin's.
	AdminClaim string

	Issuer   string // what the token's iss has to be, if not empty
	Audience string // what the token's aud has to contain, if not empty

	HTTPClient *http.Client // for the JWKS; nil means one that follows redirects to https only
	Logger     *slog.Logger // hears when the JWKS cannot be read again and the keys known are kept; nil logs nothing
}

// An Identity is for whom a valid token speaks.
type Identity struct {
	Owner string // one plain segment
	Admin bool
}

// An Authenticator tells who sends a request, by a JSON Web Token. It may be used from many
// goroutines at once.
type Authenticator struct {
	parser     *jwt.Parser
	keys       func(context.Context) jwt.Keyfunc
	adminClaim string // empty: every token is an admin's
	adminValue string
}

// NewAuthenticator returns an Authenticator. A JWKS is read at once, so it must be there and hold
// keys; from a URL it is read again from time to time until ctx ends.
func NewAuthenticator(ctx context.Context, cfg TokenConfig) (*Authenticator, error) {
	a := new(Authenticator)
	if cfg.AdminClaim != "" {
		var ok bool
		a.adminClaim, a.adminValue, ok = strings.Cut(cfg.AdminClaim, "=")
		if !ok || a.adminClaim == "" || a.adminValue == "" {
			return nil, fmt.Errorf("admin claim %q is not <claim>=<value>", cfg.AdminClaim)
		}
	}
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
	algorithm := cfg.Algorithm
	if algorithm == "" {
		algorithm = algorithms[0]
	}
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

// openJWKS reads a key set from a file, or from an https URL.
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
	client := cfg.HTTPClient
	if client == nil {
		client = &http.Client{CheckRedirect: httpsOnly}
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	tolerateFirst := false
	return keyfunc.NewDefaultOverrideCtx(ctx, []string{cfg.JWKS}, keyfunc.Override{
		Client:                    client,
		HTTPTimeout:               jwksTimeout,
		NoErrorReturnFirstHTTPReq: &tolerateFirst,
		// a token with an unknown key ID has the set read again, at most every few minutes
		RateLimitWaitMax: jwksTimeout,
		RefreshErrorHandlerFunc: func(u string) func(context.Context, error) {
			return func(ctx context.Context, err error) {
				log.WarnContext(ctx, "JWKS could not be read again, the keys known are kept", "url", u, "error", err)
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

// Authenticate returns for whom the request's only Authorization header speaks. Its errors say what
// is wrong with the token and never quote it.
func (a *Authenticator) Authenticate(r *http.Request) (Identity, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Identity{}, fmt.Errorf("%d Authorization headers instead of one", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, errors.New("authorization is not by bearer token")
	}
	claims := jwt.MapClaims{} // a struct's fields would match claims in another case
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
	return Identity{Owner: owner, Admin: a.isAdmin(claims)}, nil
}

func (a *Authenticator) isAdmin(claims jwt.MapClaims) bool {
	return a.adminClaim == "" || claims[a.adminClaim] == a.adminValue
}
