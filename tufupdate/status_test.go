package tufupdate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
)

func TestStatusShowsKeysThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		verb  keystest.Verb
		fault func(t *testing.T) keystest.Fault
		says  string
	}{
		"the provider fails": {keystest.Signer,
			func(*testing.T) keystest.Fault { return keystest.Fault{Err: errKeysDown} }, errKeysDown.Error()},
		"the public key is gone": {keystest.Public,
			func(*testing.T) keystest.Fault { return keystest.Fault{Err: errKeysDown} }, errKeysDown.Error()},
		"the key is another": {keystest.Public, func(t *testing.T) keystest.Fault {
			return keystest.Fault{Instead: testrepo.NewKey(t, testrepo.Ed25519).Signer(t)}
		}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
			roles, warnings := status(t, newUpdater(t, repo, repo.Provider(t), failing("innermost", test.verb, test.fault(t)),
				warnLate), repo)
			for name, r := range roles {
				assert.True(t, r.Verified, name)
				assert.Equal(t, name != "root" && name != "innermost", r.Online, name)
			}
			require.Len(t, warnings, 1)
			assert.Contains(t, warnings[0], "role innermost")
			assert.Contains(t, warnings[0], test.says)
		})
	}
}
