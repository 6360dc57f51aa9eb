package refserver

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A house is everything behind the server: the repositories acme/desktop and globex/desktop with
// their keys, and an updater that works tasks. It counts tasks and signatures, which attackers must
// not cause.
type house struct {
	updater *tufupdate.Updater
	acme    *testrepo.Provider
	globex  *testrepo.Provider
	added   atomic.Int64 // tasks
	log     *logBuffer
}

// Signer implements keys.Provider. It asks the provider of the app's owner.
func (h *house) Signer(ctx context.Context, req keys.Request) (keys.Signer, error) {
	if req.App == "globex/desktop" {
		return h.globex.Signer(ctx, req)
	}
	return h.acme.Signer(ctx, req)
}

func (h *house) signatures() int64 { return h.acme.Signatures() + h.globex.Signatures() }

// countedTasks counts the calls of Add.
type countedTasks struct {
	tasks.Store
	added *atomic.Int64
}

func (c countedTasks) Add(ctx context.Context, task tasks.Task) error {
	c.added.Add(1)
	return c.Store.Add(ctx, task)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store := storage.NewMemory(storage.MemoryOptions{})
	acme := testrepo.New(t, store, testrepo.Options{App: "acme/desktop"})
	globex := testrepo.New(t, store, testrepo.Options{App: "globex/desktop"})
	roots := map[string][]byte{acme.App: acme.Root, globex.App: globex.Root}
	h := &house{acme: acme.Provider(t), globex: globex.Provider(t), log: new(logBuffer)}
	updater, err := tufupdate.New(tufupdate.Config{
		Store: store, Keys: h, Tasks: countedTasks{tasks.NewMemory(tasks.MemoryOptions{}), &h.added},
		Roots: func(_ context.Context, app string) ([]byte, error) {
			if root, ok := roots[app]; ok {
				return root, nil
			}
			return nil, tufupdate.ErrNotBootstrapped
		},
		Logger: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	require.NoError(t, err)
	h.updater = updater
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() { worked <- updater.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-worked)
	})
	return h
}

// open starts a server for the house and returns its address.
func (h *house) open(t *testing.T, cfg TokenConfig) (address string) {
	t.Helper()
	cfg.AdminClaim = "role=admin"
	auth, err := NewAuthenticator(t.Context(), cfg)
	require.NoError(t, err)
	s, err := New(Config{Updater: h.updater, Auth: auth, Logger: slog.New(slog.NewTextHandler(h.log, nil))})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-served)
	})
	return listener.Addr().String()
}
