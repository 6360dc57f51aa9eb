package keystest

import (
	"bytes"
	"context"
	"crypto"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
)

func signs(t testing.TB, backend Backend, kind Kind) {
	k, other := kind.New(t, "acme/desktop"), kind.New(t, "acme/desktop")
	k.ID = "online-key" // an ID need not be a hash
	p := backend(t, k, other)
	for _, message := range [][]byte{[]byte(`{"_type":"timestamp"}`), bytes.Repeat([]byte("snapshot"), 20_000)} {
		for _, k := range []Key{k, other} {
			s := holds(t, p, k)
			signsAs(t, s, k, message)
			signsAs(t, s, k, message) // not for once only
		}
	}
}

func concurrent(t testing.TB, backend Backend, kind Kind) {
	k := kind.New(t, "acme")
	p := backend(t, k)
	shared := holds(t, p, k)
	var running sync.WaitGroup
	for i := range 8 {
		running.Go(func() {
			own, err := p.Signer(t.Context(), k.Request())
			if !assert.NoError(t, err) || !assert.NotNil(t, own) {
				return
			}
			for _, s := range []keys.Signer{own, shared} {
				message := bytes.Repeat([]byte{byte(i)}, 1000)
				sig, err := s.Sign(t.Context(), message)
				assert.NoError(t, err)
				assert.NoError(t, k.Verify(message, sig))
			}
		})
	}
	running.Wait()
}

func unknown(t testing.TB, backend Backend) {
	k, other := ecdsaP256().New(t, "acme"), ecdsaP256().New(t, "acme")
	lacks(t, backend(t), k.Request())
	p := backend(t, k)
	holds(t, p, k)
	lacks(t, p, other.Request())
	for _, id := range []string{k.ID[1:], k.ID[:len(k.ID)-1], k.ID + "0", "timestamp"} {
		req := k.Request()
		req.KeyID = id
		lacks(t, p, req)
	}
}

func otherApp(t testing.TB, backend Backend) {
	ours, theirs := ecdsaP256().New(t, "ours"), ecdsaP256().New(t, "theirs")
	p := backend(t, ours, theirs)
	holds(t, p, ours)
	holds(t, p, theirs)
	for _, app := range []string{"theirs", "nobodys"} {
		req := ours.Request()
		req.App = app
		lacks(t, p, req)
	}
}

func prefixes(t testing.TB, backend Backend) {
	above, below := ecdsaP256().New(t, "acme"), ecdsaP256().New(t, "acme/desktop")
	p := backend(t, above, below)
	holds(t, p, above)
	holds(t, p, below)
	for _, k := range []Key{above, below} {
		for _, app := range []string{"acm", "acme", "acme2", "acme/desk", "acme/desktop", "acme/desktop/beta", "desktop"} {
			if req := k.Request(); app != k.App {
				req.App = app
				lacks(t, p, req)
			}
		}
	}
}

func sameID(t testing.TB, backend Backend) {
	ours, theirs := ecdsaP256().New(t, "ours"), ecdsaP256().New(t, "theirs")
	ours.ID, theirs.ID = "online", "online"
	p := backend(t, ours, theirs)
	for _, k := range []Key{ours, theirs} {
		signsAs(t, holds(t, p, k), k, []byte("timestamp"))
	}
}

func hostile(t testing.TB, backend Backend) {
	k := ecdsaP256().New(t, "acme/desktop")
	p := backend(t, k)
	holds(t, p, k)
	refuses := func(app, id string) {
		t.Helper()
		req := k.Request()
		req.App, req.KeyID = app, id
		s, err := p.Signer(t.Context(), req)
		assert.Error(t, err, "app %q, key %q", app, id)
		assert.Nil(t, s, "app %q, key %q", app, id)
	}
	for _, id := range []string{
		"", ".", "..", "/", k.ID + "/", "./" + k.ID, "/" + k.ID, "../desktop/" + k.ID, "x/../" + k.ID, "../../" + k.ID, k.ID +
			"/.",
		k.ID + "\x00", "\x00", k.ID + "\n", `..\desktop\` + k.ID, `.\` + k.ID, "\xff" + k.ID, " " + k.ID, "*", k.ID[:1] + "*",
	} {
		refuses(k.App, id)
	}
	for _, app := range []string{
		"", ".", "..", "/", "/acme/desktop", "acme/desktop/", "acme//desktop", "./acme/desktop", "acme/./desktop",
		"acme/x/../desktop",
		"acme/desktop/..", "../acme/desktop", `acme\desktop`, "acme/desktop\x00", "acme\x00/desktop", "acme/desktop\n",
		"acme/*", "*",
	} {
		refuses(app, k.ID)
	}
	for app, id := range map[string]string{
		"":                     "acme/desktop/" + k.ID,
		".":                    "acme/desktop/" + k.ID,
		"acme":                 "desktop/" + k.ID,
		"acme/desktop":         "../desktop/" + k.ID,
		"acme/x":               "../desktop/" + k.ID,
		"acme/desktop/" + k.ID: "",
	} {
		refuses(app, id)
	}
}

func ended(t testing.TB, backend Backend) {
	k := ecdsaP256().New(t, "acme")
	p := backend(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := p.Signer(ctx, k.Request())
	require.Error(t, err)
	require.NotErrorIs(t, err, keys.ErrNoKey)
	require.Nil(t, s)
}

func outlives(t testing.TB, backend Backend) {
	k := ecdsaP256().New(t, "acme")
	p := backend(t, k)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := p.Signer(ctx, k.Request())
	require.NoError(t, err)
	cancel()
	signsAs(t, s, k, []byte("timestamp"))
}

// holds checks that a provider has a key, and returns its signer.
func holds(t testing.TB, p keys.Provider, k Key) keys.Signer {
	t.Helper()
	s, err := p.Signer(t.Context(), k.Request())
	require.NoError(t, err)
	require.NotNil(t, s)
	public, err := s.Public(t.Context())
	require.NoError(t, err)
	declared, ok := k.Private.Public().(interface{ Equal(crypto.PublicKey) bool })
	require.True(t, ok)
	require.True(t, declared.Equal(public), "the signer's public key is the declared one")
	return s
}

// lacks checks that a provider has no such key.
func lacks(t testing.TB, p keys.Provider, req keys.Request) {
	t.Helper()
	s, err := p.Signer(t.Context(), req)
	require.ErrorIs(t, err, keys.ErrNoKey, "app %q, key %q", req.App, req.KeyID)
	require.Nil(t, s)
}

func signsAs(t testing.TB, s keys.Signer, k Key, message []byte) {
	t.Helper()
	before := bytes.Clone(message)
	sig, err := s.Sign(t.Context(), message)
	require.NoError(t, err)
	require.Equal(t, before, message, "the message is not changed")
	require.NoError(t, k.Verify(message, sig), "%s by scheme %s", k.ID, k.Scheme)
}
