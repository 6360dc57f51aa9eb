package tufupdate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// A keyring asks the provider for an app's keys, once for each set of keys: bins share theirs.
type keyring struct {
	provider keys.Provider
	app      string
	settings Settings

	mu         sync.Mutex
	sets       map[string]*keySet
	validities map[string]time.Duration // that the settings were asked for
}

// A keySet is those of a role's keys that the provider holds.
type keySet struct {
	signers []tufmeta.Signer
	enough  bool  // they reach the threshold
	err     error // why the provider cannot say which it holds
}

func (u *Updater) keyring(app string, settings Settings) *keyring {
	return &keyring{provider: u.config.Keys, app: app, settings: settings, sets: map[string]*keySet{},
		validities: map[string]time.Duration{}}
}

// held returns those of a role's keys that the provider holds. A provider may tell roles apart, but
// not the bins of a delegation, whose prefix bins is.
func (k *keyring) held(ctx context.Context, role *tufmeta.Role, bins string) (*keySet, error) {
	name := cmp.Or(bins, role.Name) + " " + role.Fingerprint()
	k.mu.Lock()
	defer k.mu.Unlock()
	if set := k.sets[name]; set != nil {
		return set, set.err
	}
	set := &keySet{}
	var held []*tufmeta.Key
	for _, key := range role.Keys {
		if key.Problem() != nil {
			continue
		}
		signer, err := guarded(func() (signature.Signer, error) {
			return k.provider.Signer(ctx, keys.Request{App: k.app, Role: role.Name, KeyID: key.ID, Key: key.Declared})
		})
		if errors.Is(err, keys.ErrNoKey) {
			continue
		}
		if err != nil {
			set.err = errorf(k.app, "role "+role.Name, err)
			break
		}
		set.signers = append(set.signers, tufmeta.Signer{Key: key, Signer: signer})
		held = append(held, key)
	}
	set.enough = role.Enough(held)
	if ctx.Err() == nil || set.err == nil { // it is an answer
		k.sets[name] = set
	}
	return set, set.err
}

// isOnline reports whether the provider holds a threshold of a role's keys, and the settings do not
// say that it is offline.
func (k *keyring) isOnline(ctx context.Context, role *tufmeta.Role, bins string) (bool, error) {
	if k.isOffline(role) {
		return false, nil
	}
	set, err := k.held(ctx, role, bins)
	return err == nil && set.enough, err
}

// A custody is where a role's keys are.
type custody int

const (
	custodyOffline custody = iota
	custodyOnline          // the provider holds a threshold of them
	custodyUnknown         // the provider cannot say so
)

// custody says where the keys of a targets role are. That a provider cannot say so is the problem
// of that role and those below it, and an error only for targets, below which all are, or where ctx
// has ended.
func (k *keyring) custody(ctx context.Context, role *tufmeta.Role, bins string) (custody, error) {
	online, err := k.isOnline(ctx, role, bins)
	switch {
	case err != nil && isDelegated(role.Name) && ctx.Err() == nil:
		return custodyUnknown, nil
	case err != nil:
		return custodyUnknown, err
	case online:
		return custodyOnline, nil
	}
	return custodyOffline, nil
}

// isOffline reports whether the settings say so.
func (k *keyring) isOffline(role *tufmeta.Role) bool {
	return role.Name == tufmeta.Targets && k.settings.Targets == TargetsOffline
}

// online returns the signers of a role that isOnline; otherwise ErrTargetsOffline or ErrNoKey.
func (k *keyring) online(ctx context.Context, role *tufmeta.Role, bins string) ([]tufmeta.Signer, error) {
	if k.isOffline(role) {
		return nil, errorf(k.app, "by its settings", ErrTargetsOffline)
	}
	set, err := k.held(ctx, role, bins)
	if err != nil {
		return nil, err
	}
	if set.enough {
		return set.signers, nil
	}
	reason := fmt.Sprintf("role %s: %d of %d keys at hand", role.Name, len(set.signers), role.Threshold)
	if role.Name == tufmeta.Targets && k.settings.Targets == TargetsByKeys {
		return nil, errorf(k.app, reason, ErrTargetsOffline)
	}
	return nil, errorf(k.app, reason, ErrNoKey)
}
