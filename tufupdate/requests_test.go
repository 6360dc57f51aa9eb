package tufupdate_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A provider may need fields that no library models, such as the address of a key in a KMS.
func TestAProviderIsToldTheWholeKeyObject(t *testing.T) {
	for _, kind := range []string{testrepo.Ed25519, testrepo.ECDSA} { // in hex, and in PEM, which has newlines
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Key: kind, Unknown: true})
		provider := keystest.NewFlaky(repo.Provider(t), nil)
		roll(t, newUpdater(t, repo, nil, func(c *tufupdate.Config) { c.Keys = provider }), repo)
		asked := map[string]bool{}
		for _, c := range provider.Calls() {
			want := repo.Keys[c.Request.Role][0].Public
			assert.Equal(t, want.Type, c.Request.KeyType)
			assert.Equal(t, want.Scheme, c.Request.Scheme)
			require.NotEmpty(t, want.UnrecognizedFields)
			wanted, err := json.Marshal(want)
			require.NoError(t, err)
			assert.JSONEq(t, string(wanted), string(c.Request.Declared))
			asked[c.Request.Role] = true
		}
		assert.Equal(t, map[string]bool{"targets": true, "snapshot": true, "timestamp": true}, asked)
	}
}
