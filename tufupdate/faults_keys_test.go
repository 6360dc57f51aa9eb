package tufupdate_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

const keysAvailable = "are available"

var errKeysDown = errors.New("keys are out of reach")

// A keyFault is a way in which the n-th call to the key provider or to one of its signers fails: it
// alone, or it and all that follow.
type keyFault struct {
	name   string
	decide func(t *testing.T, c keystest.Call, n int) keystest.Fault
	passes bool   // the roll succeeds all the same
	says   string // what the error says otherwise; "" where it depends on what the call was for
}

var keyFaults = []keyFault{
	{name: "fails once", passes: true, decide: func(_ *testing.T, c keystest.Call, n int) (f keystest.Fault) {
		if c.N == n {
			f.Err = errKeysDown
		}
		return f
	}},
	{name: "fails, as do all that follow", says: errKeysDown.Error(),
		decide: func(_ *testing.T, c keystest.Call, n int) (f keystest.Fault) {
			if c.N >= n {
				f.Err = errKeysDown
			}
			return f
		}},
	{name: "hangs", decide: func(_ *testing.T, c keystest.Call, n int) keystest.Fault {
		return keystest.Fault{Hang: c.N == n}
	}},
	{name: "answers with another key", says: "key", decide: func(t *testing.T, c keystest.Call, n int) (f keystest.Fault) {
		if c.N == n {
			f.Instead = testrepo.NewKey(t, testrepo.Ed25519).Signer(t)
		}
		return f
	}},
	{name: "says that it has no such key", says: keysAvailable,
		decide: func(_ *testing.T, c keystest.Call, n int) (f keystest.Fault) {
			if c.N == n && c.Verb == keystest.Signer {
				f.Err = fmt.Errorf("key %s: %w", c.Request.KeyID, keys.ErrNoKey)
			}
			return f
		}},
}

// Each call that accepting and doing a task makes to the key provider and to its signers × each way
// to fail × each scenario: the task fails and says why, before anything is written; or the fault
// did not matter, and all is published.
func TestNoFaultOfTheKeysBreaksARepository(t *testing.T) {
	same := func(*tufupdate.Config) {}
	faulty(t, len(keyFaults), func(t *testing.T, st *stage) int {
		flaky := keystest.NewFlaky(st.provider(t, st.repo), nil)
		task, err := st.force(t, flaky, same)
		require.NoError(t, err)
		require.Equal(t, tasks.StateSuccess, task.State, task.Result.Error)
		return len(flaky.Calls())
	}, func(t *testing.T, st *stage, kind, n int) {
		fault := keyFaults[kind]
		where := fmt.Sprintf("call %d %s", n, fault.name)
		before := files(t, st.repo)
		task, err := st.force(t, keystest.NewFlaky(st.provider(t, st.repo), func(c keystest.Call) keystest.Fault {
			return fault.decide(t, c, n)
		}), same)
		if err == nil && task.State == tasks.StateFailure {
			err = errors.New(task.Result.Error)
		}
		if err != nil {
			assert.ErrorContains(t, err, "app "+st.repo.App, where)
			assert.ErrorContains(t, err, fault.says, where)
			assert.Equal(t, before, files(t, st.repo), "%s: nothing is written unless all is signed", where)
		} else {
			sameVersionsSameBytes(t, st.repo, before, files(t, st.repo), where)
			if fault.says == keysAvailable {
				st.refresh(t, nil, where)
			} else { // it was tried again, and not taken for an answer
				st.published(t, task.Result.Versions, where)
			}
		}
		assert.True(t, !fault.passes || task.State == tasks.StateSuccess, "%s: %v %s", where, err, task.Result.Error)
		st.rollAgain(t, files(t, st.repo), where)
	})
}

// Each call to the key provider and to its signers fails twice before it succeeds.
func TestAKeyServiceThatFailsInPassingFailsNoRoll(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		provider := keystest.NewFlaky(repo.Provider(t), func(c keystest.Call) (f keystest.Fault) {
			mu.Lock()
			defer mu.Unlock()
			what := string(c.Verb) + c.Request.Role
			if asked[what]++; asked[what]%3 != 0 {
				f.Err = errKeysDown
			}
			return f
		})
		u := newUpdater(t, repo, nil, func(c *tufupdate.Config) { c.Keys = provider })
		result := roll(t, u, repo, "innermost")
		assert.Empty(t, result.Warnings)
		require.NoError(t, newClient(t, repo).Refresh())
	})
}

// That there is no such key is no failure, so the provider is asked once.
func TestAKeyThatIsNotThereIsAskedForOnce(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	synctest.Test(t, func(t *testing.T) {
		provider := keystest.NewFlaky(repo.Provider(t, "targets"), nil)
		u := newUpdater(t, repo, nil, func(c *tufupdate.Config) { c.Keys = provider })
		begun := time.Now()
		_, err := u.Roll(t.Context(), repo.App, []string{"targets"})
		require.ErrorIs(t, err, tufupdate.ErrTargetsOffline)
		assert.Equal(t, begun, time.Now(), "nothing is waited for")
		for _, c := range provider.Calls() {
			assert.NotContains(t, provider.Calls()[c.N:], c)
		}
	})
}

// A key service that is down for a thousand roles is not waited for a thousand times.
func TestAKeyServiceThatIsDownIsNotWaitedForByEachRole(t *testing.T) {
	var roles []testrepo.Delegation
	for i := range 100 {
		roles = append(roles, testrepo.Delegation{Name: fmt.Sprint("team", i), Paths: []string{fmt.Sprint(i)}})
	}
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: roles})
	for _, verb := range []keystest.Verb{keystest.Signer, keystest.Public} {
		synctest.Test(t, func(t *testing.T) {
			u := newUpdater(t, repo, repo.Provider(t), failing("team", verb, keystest.Fault{Err: errKeysDown}))
			begun := time.Now()
			_, warnings := status(t, u, repo)
			assert.NotEmpty(t, warnings)
			assert.Less(t, time.Since(begun), 4*time.Second)
		})
	}
}

// A key beyond the threshold, whatever is wrong with it, holds a role up for a second at most.
func TestAKeyThatIsNotNeededIsNotWaitedForLonger(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Threshold: map[string]int{"timestamp": 2}})
	root, err := metadata.Root().FromBytes(repo.Root)
	require.NoError(t, err)
	root.Signed.Roles["timestamp"].Threshold = 1
	root.ClearSignatures()
	repo.Root = testrepo.SignWith(t, root, false, repo.Keys["root"]...)
	repo.Overwrite(t, repo.File("root", 1), repo.Root)
	for name, fault := range map[string]keystest.Fault{"fails": {Err: errKeysDown}, "hangs": {Hang: true}} {
		for _, verb := range []keystest.Verb{keystest.Public, keystest.Sign} {
			synctest.Test(t, func(t *testing.T) {
				unneeded := repo.Keys["timestamp"][1].ID
				provider := keystest.NewFlaky(repo.Provider(t), func(c keystest.Call) keystest.Fault {
					if c.Verb == verb && c.Request.KeyID == unneeded {
						return fault
					}
					return keystest.Fault{}
				})
				u := newUpdater(t, repo, nil, func(c *tufupdate.Config) { c.Keys = provider })
				begun := time.Now()
				result := roll(t, u, repo, "timestamp")
				assert.LessOrEqual(t, time.Since(begun), time.Second, "%s %s", verb, name)
				require.Len(t, result.Warnings, 1)
				assert.Contains(t, result.Warnings[0], unneeded)
			})
		}
	}
}

// What is uploaded for a role waits while it is not known whether that role's keys are at hand; the
// others do not.
func TestAnUploadWaitsForItsRolesKeys(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	repo.Upload(t, "innermost", 2, nil)
	uploads := settings(tufupdate.Settings{Uploads: []string{"innermost"}})
	u := newUpdater(t, repo, repo.Provider(t), uploads,
		failing("innermost", keystest.Signer, keystest.Fault{Err: errKeysDown}))
	result := roll(t, u, repo, "snapshot")
	assert.EqualValues(t, 2, result.Versions["snapshot"])
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], errKeysDown.Error())
	roles, _ := status(t, u, repo)
	assert.EqualValues(t, 1, roles["innermost"].Version)
	_, err := u.Roll(t.Context(), repo.App, []string{"innermost"})
	require.ErrorIs(t, err, errKeysDown, "who asks for the role is told")

	u = newUpdater(t, repo, repo.Provider(t), uploads)
	roll(t, u, repo, "snapshot")
	roles, _ = status(t, u, repo)
	assert.EqualValues(t, 2, roles["innermost"].Version, "nothing is lost")
}
