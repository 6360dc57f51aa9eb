// Package custody answers one question about a role: is it online, and who signs for it?
//
// It asks the key provider and heeds the operator's [Policy]. It knows no store and no documents.
package custody

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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
	Unknown              // the provider failed to answer, and what it answered is no threshold
)

// A Holding is the answer for one role.
type Holding struct {
	State   State
	Signers []tufmeta.Signer // for the keys of the role that the provider has
	Whole   bool             // the provider has every key of the role
	Err     error            // why the role cannot be signed: nil if and only if it is Online
	Failed  error            // why the provider could not answer for a key of the role
}

// Without returns the holding that is left if some keys, by their digests, must not sign. The error
// in it names them.
func (h Holding) Without(role *tufmeta.Role, barred map[string]string) Holding {
	var left []tufmeta.Signer
	var digests []string
	for _, s := range h.Signers {
		if other, ok := barred[s.Key.Digest()]; ok {
			h.Whole = false
			h.Err = fmt.Errorf("role %s: key %s is a key of role %s too, and signs for no other: %w", role.Name, s.Key.ID,
				other, keys.ErrNoKey)
			continue
		}
		left = append(left, s)
		digests = append(digests, s.Key.Digest())
	}
	h.Signers = left
	switch {
	case h.State == Online && role.EnoughDigests(digests):
		h.Err = nil
	case h.State == Online:
		h.State = Offline
	}
	return h
}

// A Question names a role that a Holding is asked of.
type Question struct {
	Role *tufmeta.Role
	Bins string // the prefix of the delegation's bins if the role is one of them, else ""
}

// A questionKey tells questions apart. A provider may tell roles apart by name. It may not do so
// for the bins of one delegation.
type questionKey struct {
	name, fingerprint string
	bins              bool
}

func (q Question) key() questionKey {
	return questionKey{cmp.Or(q.Bins, q.Role.Name), q.Role.Fingerprint(), q.Bins != ""}
}

// A Keyring asks a provider for one app's keys, once for each role and once for all bins of a
// delegation. It repeats calls of the provider and of its signers that fail in passing. Its methods
// may be called from many goroutines at once.
type Keyring struct {
	provider keys.Provider
	app      string
	policy   Policy
	patience patience

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
	var missing []string
	for _, key := range role.Keys {
		if problem := key.Problem(); problem != nil {
			missing = append(missing, fmt.Sprintf("%s (%v)", key.ID, problem))
			continue
		}
		signer, err := repeat(ctx, &k.patience, func() (keys.Signer, error) {
			return k.provider.Signer(ctx, keys.Request{
				App: k.app, Role: role.Name, KeyID: key.ID, KeyType: key.KeyType, Scheme: key.Scheme, Declared: key.Declared,
			})
		})
		switch {
		case errors.Is(err, keys.ErrNoKey):
			missing = append(missing, key.ID)
		case err != nil:
			h.Failed = cmp.Or(h.Failed, fmt.Errorf("role %s: key %s: %w", role.Name, key.ID, err))
		default:
			h.Signers = append(h.Signers, tufmeta.Signer{Key: key, Signer: patient{signer, &k.patience}})
			held = append(held, key)
		}
	}
	h.Whole = role.Problem() == nil && len(held) == len(role.Keys)
	switch {
	case role.Problem() != nil:
		h.Err = fmt.Errorf("role %s: %w: %w", role.Name, role.Problem(), keys.ErrNoKey)
	case role.Enough(held):
		h.State = Online
	case h.Failed != nil:
		h.State, h.Err = Unknown, h.Failed
	default:
		reason := keys.ErrNoKey
		if role.Name == tufmeta.Targets && k.policy == TargetsByKeys {
			reason = ErrTargetsOffline
		}
		h.Err = fmt.Errorf("role %s: %d of %d keys are available, without %s: %w", role.Name, len(held), role.Threshold,
			strings.Join(missing, ", "), reason)
	}
	return h
}

// Check returns an error unless enough signers have the public keys that are declared. If it
// returns none, Failed says which other signer cannot be used.
func (h *Holding) Check(ctx context.Context, role *tufmeta.Role) error {
	var usable []string
	for _, signer := range h.Signers {
		if err := signer.Check(ctx); err != nil {
			h.Failed = cmp.Or(h.Failed, fmt.Errorf("role %s: %w", role.Name, err))
			continue
		}
		usable = append(usable, signer.Key.Digest())
	}
	if !role.EnoughDigests(usable) {
		return h.Failed
	}
	return nil
}
