package tufupdate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A victim is a repository that somebody attacks who can write to its bucket, as it is before, and
// a client that trusts it.
type victim struct {
	repo    *testrepo.Repo
	offline []string
	client  *testrepo.Client
	newest  map[string]int64            // what the client trusts
	genuine map[string]string           // its files
	said    map[string][]map[string]any // by its metadata, by role
	tally   *tally
}

func newVictim(t *testing.T, repo *testrepo.Repo, count *tally, offline ...string) *victim {
	t.Helper()
	client := newClient(t, repo)
	v := &victim{repo, offline, client, versions(t, client), files(t, repo), map[string][]map[string]any{}, count}
	for name, data := range v.genuine {
		if isMetadata(repo, name) {
			role := roleOf(repo, name)
			v.said[role] = append(v.said[role], says(t, data))
		}
	}
	return v
}

// A tally counts attacks by what became of them.
type tally struct{ refused, harmless atomic.Int64 }

func (c *tally) log(t *testing.T) {
	t.Helper()
	refused, harmless := c.refused.Load(), c.harmless.Load()
	require.Positive(t, refused+harmless)
	t.Logf("%d attacks: %d refused, %d harmless", refused+harmless, refused, harmless)
}

// An attack is a change of a repository's files, and what is to come of it. Exactly one of the
// outcomes is given.
type attack struct {
	name   string
	roles  []string // to be rolled; the default if empty
	change func(t *testing.T, repo *testrepo.Repo)

	blamed   string // refused: the error names this file
	harmless string // the roll succeeds: why that does no harm
	either   string // as with blamed if it is refused; but it may succeed
	signed   bool   // the right keys have signed the change, so what follows from it counts as genuine
}

// attacked carries out an attack on a copy of the victim, and judges what a new updater makes of
// it. Either the roll fails: then nothing was signed, no object has changed, and a
// VerificationError names the file at fault. Or it succeeds: then a client that trusted what was
// there before the attack refreshes, and everything that was published says what a genuine file
// says.
func (v *victim) attacked(t *testing.T, a attack) {
	t.Run(a.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { v.judge(t, a) }) })
}

func (v *victim) judge(t *testing.T, a attack) {
	repo := v.repo.Copy(t)
	a.change(t, repo)
	before := files(t, repo)
	provider := repo.Provider(t, v.offline...)
	result, err := newUpdater(t, repo, provider, pin(repo.Root)).Roll(t.Context(), repo.App, a.roles)
	after := files(t, repo)
	if err != nil {
		v.tally.refused.Add(1)
		assert.Empty(t, a.harmless, "%v", err)
		assert.Zero(t, provider.Signatures(), "something was signed: %v", err)
		assert.Equal(t, before, after, "%v", err)
		if a.signed && (errors.Is(err, tufupdate.ErrNoKey) || errors.Is(err, tufupdate.ErrTargetsOffline)) {
			return // the right keys have signed a root by which a role has no usable key
		}
		blames(t, a.blamed+a.either, err, a.name)
		return
	}
	assert.Empty(t, a.blamed, "it is not refused: %v", result)
	sameVersionsSameBytes(t, repo, before, after, a.name)
	client := v.client.Copy(t, repo.Store)
	v.tally.harmless.Add(1)
	if err := refresh(client); err != nil && (!a.signed || !v.rejectsItself(t, before, err)) {
		assert.NoError(t, err, "the client from before")
	}
	for role, version := range result.Versions {
		v.follows(t, a, role, before, after[repo.File(role, version)])
	}
}

// roleIsTargets reports whether a role's documents have type targets. What go-tuf cannot read of
// one that the right keys have signed is the trouble of the roles that it is about.
func roleIsTargets(role string) bool { return role == "targets" || !isTopLevel(role) }

// rejectsItself reports whether the client from before, or a new one, rejects what the right keys
// have signed, and not what the roll made of it.
func (v *victim) rejectsItself(t *testing.T, before map[string]string, err error) bool {
	t.Helper()
	if strings.Contains(err.Error(), "new snapshot is missing info") {
		return true // the snapshot's key has dropped an entry
	}
	store := storage.NewMemory(storage.MemoryOptions{})
	for name, data := range before {
		_, err := store.Create(t.Context(), name, []byte(data))
		require.NoError(t, err)
	}
	fresh := testrepo.NewClient(t, store, v.repo.App, v.repo.Root, true)
	return refresh(v.client.Copy(t, store)) != nil || refresh(fresh) != nil
}

// blames requires that an error names the file at fault.
func blames(t *testing.T, file string, err error, name string) {
	t.Helper()
	var verification *tufupdate.VerificationError
	if assert.ErrorAs(t, err, &verification, name) {
		assert.Equal(t, file, verification.File, "%s: %v", name, err)
		assert.Contains(t, err.Error(), file, name)
	}
}

// follows requires that a document says what a file of its role said that go-tuf trusts: one from
// before the attack, or one that the attack put there if the right keys have signed it.
func (v *victim) follows(t *testing.T, a attack, role string, before map[string]string, document string) {
	t.Helper()
	said := says(t, document)
	for _, genuine := range v.said[role] {
		if assert.ObjectsAreEqual(said, genuine) {
			return
		}
	}
	for name, data := range before {
		trusted := v.trusts(role, data) || roleIsTargets(role)
		if a.signed && trusted && isMetadata(v.repo, name) && roleOf(v.repo, name) == role &&
			assert.ObjectsAreEqual(said, says(t, data)) {
			return
		}
	}
	assert.Fail(t, "it follows from nothing that go-tuf trusts", "%s: %s", role, document)
}

// trusts reports whether go-tuf trusts a document that the attack put there. Of a delegated role's
// it tells only whether it can be read.
func (v *victim) trusts(role, data string) (trusts bool) {
	defer func() { _ = recover() }() // as in goTufTrusts
	if isTopLevel(role) {
		return goTufTrusts(v.repo, role, []byte(data))
	}
	_, err := metadata.Targets().FromBytes([]byte(data))
	return err == nil
}

// refresh refreshes a client. There is input that go-tuf panics on, which is no trust either.
func refresh(client *testrepo.Client) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("go-tuf panics: %v", p)
		}
	}()
	return client.Refresh()
}

// roleOf returns the role that a file is of, by its name.
func roleOf(repo *testrepo.Repo, name string) string {
	role := strings.TrimSuffix(strings.TrimPrefix(name, repo.App+"/"), ".json")
	if version, rest, ok := strings.Cut(role, "."); ok && strings.Trim(version, "0123456789") == "" {
		return rest
	}
	return role
}

// isMetadata reports whether a file is one of the repository's metadata.
func isMetadata(repo *testrepo.Repo, name string) bool {
	return strings.HasPrefix(name, repo.App+"/") && strings.HasSuffix(name, ".json")
}

// overwrite is the change that puts bytes into the place of a file, which may be missing.
func overwrite(name string, data []byte) func(*testing.T, *testrepo.Repo) {
	return func(t *testing.T, repo *testrepo.Repo) { repo.Overwrite(t, name, data) }
}

func isTopLevel(role string) bool { return slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) }
