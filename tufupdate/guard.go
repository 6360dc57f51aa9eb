package tufupdate

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
)

// panics logs panics. One that comes again within an hour is not logged again as an error.
type panics struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time
}

// maxPanics bounds the panics that are told apart.
const maxPanics = 100

func (p *panics) note(what any) {
	text := fmt.Sprint(what)
	p.mu.Lock()
	again := time.Since(p.last[text]) < time.Hour
	if !again {
		if p.last == nil || len(p.last) >= maxPanics {
			p.last = map[string]time.Time{}
		}
		p.last[text] = time.Now()
	}
	p.mu.Unlock()
	if again {
		p.log.Debug("panic", "error", text)
		return
	}
	p.log.Error("panic", "error", text, "stack", string(debug.Stack()))
}

// guarded makes a call, and turns a panic into an error. The stack goes into the log. One app's
// store, key or function must not end the process.
func guarded[T any](log *panics, call func() (T, error)) (result T, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.note(r)
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return call()
}

// guard returns a configuration that guards what the embedder has provided, but for its task store.
func (c Config) guard(log *panics) Config {
	settings, roots := c.Settings, c.Roots
	c.Store, c.Keys = guardedStore{c.Store, log}, guardedKeys{c.Keys, log}
	if c.Memory != nil {
		c.Memory = guardedStore{c.Memory, log}
	}
	c.Settings = func(ctx context.Context, app string) (Settings, error) {
		s, err := guarded(log, func() (Settings, error) { return settings(ctx, app) })
		if validityOf := s.ValidityOf; validityOf != nil {
			s.ValidityOf = func(ctx context.Context, role string) (time.Duration, error) {
				return guarded(log, func() (time.Duration, error) { return validityOf(ctx, role) })
			}
		}
		return s, err
	}
	c.Roots = func(ctx context.Context, app string) ([]byte, error) {
		return guarded(log, func() ([]byte, error) { return roots(ctx, app) })
	}
	if c.Renew != nil {
		renew, apps := *c.Renew, c.Renew.Apps
		renew.Apps = func(ctx context.Context) ([]string, error) {
			return guarded(log, func() ([]string, error) { return apps(ctx) })
		}
		c.Renew = &renew
	}
	return c
}

type guardedStore struct {
	storage.Store
	log *panics
}

// Unwrap returns the store that is guarded.
func (s guardedStore) Unwrap() storage.Store { return s.Store }

func (s guardedStore) Get(ctx context.Context, key string) (storage.Object, error) {
	return guarded(s.log, func() (storage.Object, error) { return s.Store.Get(ctx, key) })
}

func (s guardedStore) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return guarded(s.log, func() (storage.Version, error) { return s.Store.Create(ctx, key, data) })
}

func (s guardedStore) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version,
	error,
) {
	return guarded(s.log, func() (storage.Version, error) { return s.Store.Replace(ctx, key, old, data) })
}

type guardedKeys struct {
	keys.Provider
	log *panics
}

// Unwrap returns the provider that is guarded.
func (p guardedKeys) Unwrap() keys.Provider { return p.Provider }

// Signer returns a signer. What the signer does is guarded where it signs.
func (p guardedKeys) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	return guarded(p.log, func() (keys.Signer, error) { return p.Provider.Signer(ctx, req) })
}
