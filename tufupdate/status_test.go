package tufupdate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
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
			s, err := newUpdater(t, repo, repo.Provider(t), failing("innermost", test.verb, test.fault(t)),
				warnLate).Status(t.Context(), repo.App)
			require.NoError(t, err)
			for _, r := range s.Roles {
				assert.True(t, r.Verified, r.Role)
				assert.Equal(t, r.Role != "root" && r.Role != "innermost", r.Online, r.Role)
			}
			require.Len(t, s.Troubles, 1)
			assert.Equal(t, "innermost", s.Troubles[0].Role)
			assert.Equal(t, tufupdate.ActorOperator, s.Troubles[0].Who)
			require.Len(t, s.Troubles[0].Keys, 1)
			assert.Equal(t, repo.Keys["innermost"][0].ID, s.Troubles[0].Keys[0].KeyID)
			assert.Contains(t, s.Troubles[0].Keys[0].Why, test.says)
		})
	}
}
