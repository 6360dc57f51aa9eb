package testrepo

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tufonline/tufonline/keys"
)

// A Provider is a keys.Provider that holds the keys of some roles and counts their signatures.
type Provider struct {
	t          testing.TB
	repo       *Repo
	offline    map[string]bool
	signatures atomic.Int64
}

// Provider returns a provider with the keys that the repository has at the time of each call. It
// holds no keys of root or of the offline roles.
func (r *Repo) Provider(t testing.TB, offline ...string) *Provider {
	p := &Provider{t: t, repo: r, offline: map[string]bool{"root": true}}
	for _, role := range offline {
		p.offline[role] = true
	}
	return p
}

// Signatures returns how many signatures the provider has made.
func (p *Provider) Signatures() int64 { return p.signatures.Load() }

// Signer implements keys.Provider.
func (p *Provider) Signer(_ context.Context, req keys.Request) (keys.Signer, error) {
	if req.App == p.repo.App {
		for role, all := range p.repo.Keys {
			for _, k := range all {
				if k.ID == req.KeyID && !p.offline[role] {
					return countingSigner{k.Signer(p.t), p}, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("app %s: key %s: %w", req.App, req.KeyID, keys.ErrNoKey)
}

type countingSigner struct {
	keys.Signer
	provider *Provider
}

func (s countingSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.provider.signatures.Add(1)
	return s.Signer.Sign(ctx, message)
}
