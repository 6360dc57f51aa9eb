package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/keys"
)

// A keyring asks the provider for an app's keys, once for each set of keys: bins share theirs.
type keyring struct {
	provider keys.Provider
	app      string
	settings Settings

	mu   sync.Mutex
	sets map[string][]tufmeta.Signer
}

func (u *Updater) keyring(app string, settings Settings) *keyring {
	return &keyring{provider: u.config.Keys, app: app, settings: settings, sets: map[string][]tufmeta.Signer{}}
}

// signers returns signers for those of a role's keys that the provider holds.
func (k *keyring) signers(ctx context.Context, role *tufmeta.Role) ([]tufmeta.Signer, error) {
	ids := make([]string, len(role.Keys))
	for i, key := range role.Keys {
		ids[i] = fmt.Sprintf("%q", key.ID)
	}
	set := strings.Join(ids, " ")
	if role.Name == tufmeta.Targets || role.Name == tufmeta.Snapshot || role.Name == tufmeta.Timestamp {
		set = role.Name + " " + set // a provider may tell the top-level roles apart
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if held, ok := k.sets[set]; ok {
		return held, nil
	}
	var held []tufmeta.Signer
	for _, key := range role.Keys {
		signer, err := k.provider.Signer(ctx, keys.Request{App: k.app, Role: role.Name, KeyID: key.ID, Key: key.Declared})
		if errors.Is(err, keys.ErrNoKey) {
			continue
		}
		if err != nil {
			return nil, errorf(k.app, "role "+role.Name, err)
		}
		held = append(held, tufmeta.Signer{Key: key, Signer: signer})
	}
	k.sets[set] = held
	return held, nil
}

// online returns the signers of a role if they reach its threshold and the settings do not say that it is offline; otherwise
// ErrTargetsOffline or ErrNoKey.
func (k *keyring) online(ctx context.Context, role *tufmeta.Role) ([]tufmeta.Signer, error) {
	targets := role.Name == tufmeta.Targets
	if targets && k.settings.Targets == TargetsOffline {
		return nil, errorf(k.app, "by its settings", ErrTargetsOffline)
	}
	held, err := k.signers(ctx, role)
	if err != nil {
		return nil, err
	}
	declared := make([]*tufmeta.Key, len(held))
	for i, s := range held {
		declared[i] = s.Key
	}
	if role.Enough(declared) {
		return held, nil
	}
	reason := fmt.Sprintf("role %s: %d of %d keys at hand", role.Name, len(held), role.Threshold)
	if targets && k.settings.Targets == TargetsByKeys {
		return nil, errorf(k.app, reason, ErrTargetsOffline)
	}
	return nil, errorf(k.app, reason, ErrNoKey)
}

// isOnline reports whether online would return signers.
func (k *keyring) isOnline(ctx context.Context, role *tufmeta.Role) (bool, error) {
	_, err := k.online(ctx, role)
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrTargetsOffline) {
		return false, nil
	}
	return err == nil, err
}
