package keys

import (
	"context"
	"fmt"
	"sync"
)

// Memory is a Provider of the signers that it was given, for tests and for programs that get their
// signers elsewhere, such as from a KMS. Its methods may be called from many goroutines at once.
type Memory struct {
	mu      sync.RWMutex
	signers map[name]Signer
}

// A name is what a key goes by.
type name struct{ app, keyID string }

var _ Provider = (*Memory)(nil)

// NewMemory returns a Memory that holds nothing.
func NewMemory() *Memory { return &Memory{signers: make(map[name]Signer)} }

// Add makes s the signer for a key of an app. It signs as the key's declared scheme asks, which
// those of [NewSigner] do, and may be called from many goroutines at once. One that was added under
// the same names before is replaced.
func (m *Memory) Add(app, keyID string, s Signer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signers[name{app, keyID}] = s
}

// Signer implements Provider.
func (m *Memory) Signer(ctx context.Context, req Request) (Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("app %q: key %q: %w", req.App, req.KeyID, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	s, ok := m.signers[name{req.App, req.KeyID}]
	if !ok {
		return nil, fmt.Errorf("app %q: key %q: %w", req.App, req.KeyID, ErrNoKey)
	}
	return s, nil
}
