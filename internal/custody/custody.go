// Package custody answers one question about a role: is it online, and who signs for it?
//
// It asks the key provider and heeds the operator's [Policy]. It knows no store and no documents.
package custody

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// ErrTargetsOffline says that targets cannot be signed since its keys are offline by decision.
var ErrTargetsOffline = errors.New("targets is offline: " +
	"its metadata has to be signed by the holders of its keys and uploaded")

// A Policy is what the operator has decided about an app's keys.
type Policy int

// The policies for targets. All other roles go by their keys.
const (
	TargetsByKeys  Policy = iota // targets is online if the provider has a threshold of its keys
	TargetsOnline                // targets is online; missing keys are an error
	TargetsOffline               // targets is offline, whatever keys the provider has
)

// A State says where a role's keys are.
type State int

// The states of a role.
const (
	Offline State = iota // the provider lacks a threshold of the role's keys, or the policy says so
	Online               // the provider has a threshold
	Unknown              // the provider failed to answer
)

// A Holding is the answer for one role.
type Holding struct {
	State   State
	Signers []tufmeta.Signer // for the keys of the role that the provider has
	Whole   bool             // the provider has every key of the role
	Err     error            // why the role cannot be signed: nil if and only if it is Online
}

// A Question names a role that a Holding is asked of.
type Question struct {
	Role *tufmeta.Role
	Bins string // the prefix of the delegation's bins if the role is one of them, else ""
}

// A questionKey tells questions apart. A provider may tell roles apart by name. It may not do so
// for the bins of one delegation.
type questionKey struct{ name, fingerprint string }

func (q Question) key() questionKey {
	return questionKey{cmp.Or(q.Bins, q.Role.Name), q.Role.Fingerprint()}
}

// A Keyring asks a provider for one app's keys, once for each role and once for all bins of a
// delegation. Its methods may be called from many goroutines at once.
type Keyring struct {
	provider keys.Provider
	app      string
	policy   Policy

	mu       sync.Mutex
	holdings map[questionKey]Holding
}

// NewKeyring returns a Keyring of an app. It asks nothing yet.
func NewKeyring(provider keys.Provider, app string, policy Policy) *Keyring {
	return &Keyring{provider: provider, app: app, policy: policy, holdings: map[questionKey]Holding{}}
}

// Known returns the answer to a question that was asked before.
func (k *Keyring) Known(q Question) (h Holding, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, known = k.holdings[q.key()]
	return h, known
}

// Of returns the answer to a question, and remembers it. A provider that fails is an answer: the
// state is Unknown. The error says that ctx ended first.
func (k *Keyring) Of(ctx context.Context, q Question) (Holding, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h, known := k.holdings[q.key()]; known {
		return h, nil
	}
	h := k.ask(ctx, q.Role)
	if h.State == Unknown && ctx.Err() != nil {
		return h, h.Err
	}
	k.holdings[q.key()] = h
	return h, nil
}

func (k *Keyring) ask(ctx context.Context, role *tufmeta.Role) Holding {
	if role.Name == tufmeta.Targets && k.policy == TargetsOffline {
		return Holding{Err: fmt.Errorf("by its settings: %w", ErrTargetsOffline)}
	}
	var h Holding
	var held []*tufmeta.Key
	for _, key := range role.Keys {
		if key.Problem() != nil {
			continue
		}
		signer, err := k.provider.Signer(ctx, keys.Request{
			App: k.app, Role: role.Name, KeyID: key.ID, KeyType: key.KeyType, Scheme: key.Scheme, Declared: key.Declared,
		})
		if errors.Is(err, keys.ErrNoKey) {
			continue
		}
		if err != nil {
			return Holding{State: Unknown, Signers: h.Signers, Err: fmt.Errorf("role %s: %w", role.Name, err)}
		}
		h.Signers = append(h.Signers, tufmeta.Signer{Key: key, Signer: signer})
		held = append(held, key)
	}
	h.Whole = len(held) == len(role.Keys)
	if role.Enough(held) {
		h.State = Online
		return h
	}
	missing := keys.ErrNoKey
	if role.Name == tufmeta.Targets && k.policy == TargetsByKeys {
		missing = ErrTargetsOffline
	}
	h.Err = fmt.Errorf("role %s: %d of %d keys are available: %w", role.Name, len(held), role.Threshold, missing)
	return h
}

// Check returns an error unless the public keys of a holding's signers are those declared.
func (h Holding) Check(ctx context.Context) error {
	for _, signer := range h.Signers {
		if err := signer.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}
