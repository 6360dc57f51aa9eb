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

	// Kept are keys that it holds although the repository has them no more.
	Kept []*Key
	// Asked, if not nil, is told of each request, and may answer it with an error.
	Asked func(keys.Request) error
	// Signed, if not nil, is told of each message that a key signs for a request.
	Signed func(req keys.Request, message []byte)
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
	if p.Asked != nil {
		if err := p.Asked(req); err != nil {
			return nil, err
		}
	}
	if k := p.find(req); k != nil {
		return countingSigner{k.Signer(p.t), p, req}, nil
	}
	return nil, fmt.Errorf("app %s: key %s: %w", req.App, req.KeyID, keys.ErrNoKey)
}

// Holds reports whether the provider holds the key of an ID.
func (p *Provider) Holds(id string) bool {
	return p.find(keys.Request{App: p.repo.App, KeyID: id}) != nil
}

// find returns the key that a request names, nil if the provider does not hold it.
func (p *Provider) find(req keys.Request) *Key {
	if req.App != p.repo.App {
		return nil
	}
	for _, k := range p.Kept {
		if k.ID == req.KeyID {
			return k
		}
	}
	for role, all := range p.repo.Keys {
		for _, k := range all {
			if k.ID == req.KeyID && !p.offline[role] {
				return k
			}
		}
	}
	return nil
}

type countingSigner struct {
	keys.Signer
	provider *Provider
	req      keys.Request
}

func (s countingSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.provider.signatures.Add(1)
	if s.provider.Signed != nil {
		s.provider.Signed(s.req, message)
	}
	return s.Signer.Sign(ctx, message)
}
