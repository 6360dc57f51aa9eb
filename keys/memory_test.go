package keys_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
)

func TestMemoryIsAProvider(t *testing.T) {
	keystest.Run(t, func(t testing.TB, held ...keystest.Key) keys.Provider {
		m := keys.NewMemory()
		for _, k := range held {
			m.Add(k.App, k.ID, k.Signer(t))
		}
		return m
	})
}

func TestAddingAKeyAgainReplacesIt(t *testing.T) {
	ed25519 := keystest.Kinds()[0]
	first, second := ed25519.New(t, "acme"), ed25519.New(t, "acme")
	m := keys.NewMemory()
	m.Add("acme", "online", first.Signer(t))
	m.Add("acme", "online", second.Signer(t))
	s, err := m.Signer(t.Context(), keys.Request{App: "acme", KeyID: "online"})
	require.NoError(t, err)
	public, err := s.Public(t.Context())
	require.NoError(t, err)
	assert.Equal(t, second.Private.Public(), public)
}
