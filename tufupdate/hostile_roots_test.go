package tufupdate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// A rootMaker makes roots that follow a repository's first one.
type rootMaker struct {
	t    *testing.T
	repo *testrepo.Repo
}

// next returns a root of a version, changed and signed by these keys.
func (m rootMaker) next(version int64, change func(*metadata.RootType), signers ...*testrepo.Key) []byte {
	m.t.Helper()
	root, err := metadata.Root().FromBytes(m.repo.Root)
	require.NoError(m.t, err)
	root.Signed.Version = version
	if change != nil {
		change(&root.Signed)
	}
	return testrepo.SignWith(m.t, root, false, signers...)
}

// What can be done with the chain of roots.
func TestRootsThatDoNotFollow(t *testing.T) {
	var count tally
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Threshold: map[string]int{"root": 2, "targets": 2}})
	other := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	m := rootMaker{t, repo}
	own, fresh := repo.Keys["root"], testrepo.NewKey(t, testrepo.Ed25519)
	givenTo := func(role string, keys ...*testrepo.Key) func(*metadata.RootType) { // with a threshold of as many
		return func(root *metadata.RootType) {
			root.Roles[role].KeyIDs = nil
			for _, k := range keys {
				require.NoError(t, root.AddKey(k.Public, role))
			}
			root.Roles[role].Threshold = len(keys)
		}
	}
	second, third := repo.File("root", 2), repo.File("root", 3)
	v := newVictim(t, repo, &count)
	for _, a := range []attack{
		{name: "a gap", change: overwrite(third, m.next(3, nil, own...)),
			harmless: "a root is looked for only where the one before leads"},
		{name: "a gap before a root of the attacker's", change: overwrite(third, other.Root), harmless: "as above"},
		{name: "after a good root, one of the attacker's", blamed: third,
			change: all(overwrite(second, m.next(2, nil, own...)), overwrite(third, other.Root))},
		{name: "version N again", change: overwrite(second, repo.Root), blamed: second},
		{name: "version N+2 in the place of N+1", change: overwrite(second, m.next(3, nil, own...)), blamed: second},
		{name: "version 2^53-1", change: overwrite(second, m.next(1<<53-1, nil, own...)), blamed: second},
		{name: "version 2^63-1", change: overwrite(second, m.next(1<<63-1, nil, own...)), blamed: second},
		{name: "of another app", change: overwrite(second, other.Root), blamed: second},
		{name: "a signature too few", change: overwrite(second, m.next(2, nil, own[0])), blamed: second},
		{name: "no signature", change: overwrite(second, m.next(2, nil)), blamed: second},
		{name: "signed by N's keys only", change: overwrite(second, m.next(2, givenTo("root", fresh), own...)),
			blamed: second},
		{name: "signed by N+1's keys only", change: overwrite(second, m.next(2, givenTo("root", fresh), fresh)),
			blamed: second},
		{name: "signed by the keys of other roles", blamed: second,
			change: overwrite(second, m.next(2, nil, append(repo.Keys["targets"], repo.Keys["snapshot"]...)...))},
		{name: "signed by one key under two IDs", change: overwrite(second, doubled(t, m.next(2, nil, own[0]), own)),
			blamed: second},
		{name: "one key under two IDs, declared by the right keys", signed: true, either: second,
			change: overwrite(second, m.next(2, declaredTwice(repo.Keys["targets"][0], "targets"), own...))},
		{name: "a threshold that no keys reach", blamed: second,
			change: overwrite(second, m.next(2, func(root *metadata.RootType) { root.Roles["targets"].Threshold = 3 }, own...))},
		{name: "the attacker's key for the timestamp", blamed: second,
			change: overwrite(second, m.next(2, givenTo("timestamp", fresh), fresh))},
		{name: "signed by both", change: overwrite(second, m.next(2, givenTo("root", fresh), append(own, fresh)...)),
			harmless: "that is how it is done"},
	} {
		a.roles = []string{"targets"}
		v.attacked(t, a)
	}
	count.log(t)
}

// doubled returns a document in which the signature of the first key stands for the second one too.
func doubled(t *testing.T, document []byte, keys []*testrepo.Key) []byte {
	t.Helper()
	md, err := metadata.Root().FromBytes(document)
	require.NoError(t, err)
	md.Signatures = append(md.Signatures, metadata.Signature{KeyID: keys[1].ID, Signature: md.Signatures[0].Signature})
	data, err := md.ToBytes(false)
	require.NoError(t, err)
	return data
}

// declaredTwice makes a role's keys a single one, under two IDs, both of which are to sign.
func declaredTwice(k *testrepo.Key, role string) func(*metadata.RootType) {
	return func(root *metadata.RootType) {
		alias := strings.Repeat("ab", 32)
		root.Keys[alias] = k.Public
		root.Roles[role].KeyIDs = []string{k.ID, alias}
		root.Roles[role].Threshold = 2
	}
}

// Of two roots that are signed properly, an updater stays with that which it saw; it does not even
// look at the other.
func TestAForkOfTheRootsIsNotFollowed(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	m := rootMaker{t, repo}
	u := newUpdater(t, repo, provider)
	keys := repo.Keys["root"]
	_, err := repo.Store.Create(t.Context(), repo.File("root", 2), m.next(2, nil, keys...))
	require.NoError(t, err)
	roll(t, u, repo)
	client := newClient(t, repo)
	require.NoError(t, client.Refresh())

	attacker := testrepo.NewKey(t, testrepo.Ed25519)
	fork := m.next(2, func(root *metadata.RootType) {
		root.Roles["root"].KeyIDs = nil
		require.NoError(t, root.AddKey(attacker.Public, "root"))
	}, keys[0], attacker)
	repo.Overwrite(t, repo.File("root", 2), fork)
	roll(t, u, repo)
	require.NoError(t, client.Refresh(), "it is not led to the fork either")
	repo.Overwrite(t, repo.File("root", 3), m.next(3, nil, attacker))
	before := files(t, repo)
	_, err = u.Roll(t.Context(), repo.App, nil)
	blames(t, repo.File("root", 3), err, "what follows from the fork")
	sameVersionsSameBytes(t, repo, before, files(t, repo), "")
}

// What the right keys have signed and still cannot be followed, and what those of others have
// signed.
func TestVersionsAndSignaturesOfTheOtherRoles(t *testing.T) {
	var count tally
	for shape, inconsistent := range map[string]bool{"consistent": false, "inconsistent": true} {
		t.Run(shape, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
				testrepo.Options{Inconsistent: inconsistent, Threshold: map[string]int{"targets": 2, "snapshot": 2}})
			v := newVictim(t, repo, &count)
			for _, role := range []string{"timestamp", "snapshot", "targets"} {
				name := repo.File(role, 1)
				genuine := repo.Read(t, name)
				at := place{"signed", "version"}
				for _, version := range []string{"9007199254740991", "9007199254740992", "9223372036854775807",
					"9223372036854775808"} {
					a := attack{name: role + " " + version, change: overwrite(name,
						signAnew(put(t, genuine, at, version), repo.Keys[role])), blamed: name}
					v.attacked(t, a)
				}
				for _, signer := range []string{"root", "timestamp", "snapshot", "targets"} {
					if signer != role {
						v.attacked(t, attack{name: role + " signed by " + signer,
							change: overwrite(name, signAnew(genuine, repo.Keys[signer])), blamed: name})
					}
				}
				if keys := repo.Keys[role]; len(keys) > 1 {
					v.attacked(t, attack{name: role + " with a signature too few",
						change: overwrite(name, signAnew(genuine, keys[1:])), blamed: name})
					twice := []*testrepo.Key{keys[0], {ID: keys[1].ID, Private: keys[0].Private}}
					v.attacked(t, attack{name: role + " signed twice by one key", change: overwrite(name, signAnew(genuine, twice)),
						blamed: name})
				}
			}
		})
	}
	count.log(t)
}

// Numbers that are too large are called so, whatever they overflow.
func TestAVersionTooLargeIsCalledSo(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	provider := repo.Provider(t)
	name := repo.File("timestamp", 0)
	for version, problem := range map[string]string{
		"9007199254740992":    "9007199254740992 is not between 1 and 9007199254740991",
		"9223372036854775807": "9223372036854775807 is not between 1 and 9007199254740991",
		"9223372036854775808": "number out of range",
	} {
		repo.Overwrite(t, name, signAnew(put(t, repo.Read(t, name), place{"signed", "version"}, version),
			repo.Keys["timestamp"]))
		err := refused(t, newUpdater(t, repo, provider), repo, provider, "timestamp")
		assert.ErrorContains(t, err, problem)
	}
}
