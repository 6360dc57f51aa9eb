package tufupdate_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// swapped are the shapes of the repositories whose files are put in each other's place.
var swapped = map[string]testrepo.Options{
	"nested":                           {Delegation: nested},
	"nested, hashes":                   {Delegation: nested, Hashes: true},
	"nested, hashes, inconsistent":     {Delegation: nested[:1], Hashes: true, Inconsistent: true},
	"plain, inconsistent, two of each": {Inconsistent: true, Threshold: map[string]int{"snapshot": 2, "targets": 2}},
}

// A history is a repository after a rotation and two rolls of everything, and all the files that it
// ever had.
type history struct {
	repo  *testrepo.Repo
	files map[string]string // by name, and by name and round for those that were replaced since
}

// live makes a history.
func live(t *testing.T, o testrepo.Options) history {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), o)
	h := history{repo, map[string]string{}}
	roles := []string{metadata.TARGETS}
	for name := range files(t, repo) {
		if role := roleOf(repo, name); isMetadata(repo, name) && !isTopLevel(role) {
			roles = append(roles, role)
		}
	}
	u := newUpdater(t, repo, repo.Provider(t))
	remember := func(round int) {
		for name, data := range files(t, repo) {
			if isMetadata(repo, name) {
				h.files[fmt.Sprintf("%s in round %d", name, round)] = data
			}
		}
	}
	remember(0)
	repo.Rotate(t, metadata.TARGETS)
	for round := 1; round <= 2; round++ {
		roll(t, u, repo, roles...)
		remember(round)
	}
	return h
}

func isTopLevel(role string) bool { return slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) }

// distinct returns files by name, without those that hold what another does.
func distinct(all map[string]string) map[string]string {
	some, seen := map[string]string{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !seen[all[name]] {
			seen[all[name]] = true
			some[name] = all[name]
		}
	}
	return some
}

// Every file that a repository has is replaced by every other that it ever had, and by those of a
// stranger's repository of that name and of another app's.
func TestEveryFileInThePlaceOfEveryOther(t *testing.T) {
	var count tally
	t.Run("repositories", func(t *testing.T) {
		for shape, options := range swapped {
			t.Run(shape, func(t *testing.T) {
				t.Parallel()
				mine := live(t, options)
				stranger := live(t, options)
				options.App = "acme/sibling"
				sibling := live(t, options)
				others := distinct(mine.files)
				for whose, h := range map[string]history{"a stranger's ": stranger, "the sibling's ": sibling} {
					for name, data := range files(t, h.repo) {
						if isMetadata(h.repo, name) && !strings.Contains(name, "/1.") {
							others[whose+name] = data
						}
					}
				}
				v := newVictim(t, mine.repo, &count)
				for name, data := range v.genuine {
					if !isMetadata(v.repo, name) {
						continue
					}
					tried := 0
					for other, content := range others {
						if content == data {
							continue
						}
						a := v.swapOf(t, name, content)
						a.name = name + " is " + other
						if tried++; a.harmless == "" || tried <= 3 { // what nobody reads can hold anything
							v.attacked(t, a)
						}
					}
				}
			})
		}
	})
	count.log(t)
}

// swapOf says what is to come of a file's replacement.
func (v *victim) swapOf(t *testing.T, name, content string) attack {
	repo := v.repo
	a := attack{change: overwrite(name, []byte(content)), roles: []string{metadata.TARGETS}}
	role := roleOf(repo, name)
	if !isTopLevel(role) {
		a.roles = append(a.roles, role)
	}
	switch {
	case role == metadata.ROOT && name == repo.File(role, 1):
		a.harmless = "the root that is pinned counts, for clients too"
	case role != metadata.TIMESTAMP && name != repo.File(role, v.newest[role]):
		a.harmless = "nothing lists the file any more"
	case role == metadata.TIMESTAMP && isEarlierTimestamp(t, repo, content):
		a.rolledBack = true
	default:
		a.blamed = name
	}
	return a
}

// isEarlierTimestamp reports whether a file is a timestamp that the repository had, which is signed
// by its keys still.
func isEarlierTimestamp(t *testing.T, repo *testrepo.Repo, content string) bool {
	return says(t, content)["_type"] == metadata.TIMESTAMP && goTufTrusts(repo, metadata.TIMESTAMP, []byte(content))
}

// What an attacker puts together of several files.
func TestFilesMixedAndMatched(t *testing.T) {
	var count tally
	for shape, options := range swapped {
		t.Run(shape, func(t *testing.T) {
			mine, stranger := live(t, options), live(t, options)
			v := newVictim(t, mine.repo, &count)
			repo := mine.repo
			file := func(role string) string { return repo.File(role, v.newest[role]) }
			timestamp, snapshot, targets := file("timestamp"), file("snapshot"), file("targets")
			earlier := func(name string, round int) []byte { // with consistent snapshots, in the place of the present file
				if repo.Consistent() && name != timestamp {
					name = repo.File(roleOf(repo, name), v.newest[roleOf(repo, name)]-2+int64(round))
				}
				return []byte(mine.files[fmt.Sprintf("%s in round %d", name, round)])
			}
			foreign := func(name string) []byte { return stranger.repo.Read(t, name) }
			attacks := []attack{
				{name: "timestamp and snapshot of a stranger", blamed: timestamp,
					change: all(overwrite(timestamp, foreign(timestamp)), overwrite(snapshot, foreign(snapshot)))},
				{name: "snapshot and targets of a stranger", blamed: snapshot,
					change: all(overwrite(snapshot, foreign(snapshot)), overwrite(targets, foreign(targets)))},
				{name: "snapshot and targets taken back", blamed: snapshot,
					change: all(overwrite(snapshot, earlier(snapshot, 1)), overwrite(targets, earlier(targets, 1)))},
				{name: "timestamp taken back, targets of a stranger", blamed: repo.File("targets", v.newest["targets"]-1),
					change: all(overwrite(timestamp, earlier(timestamp, 1)), overwrite(targets, foreign(targets)),
						overwrite(repo.File("targets", v.newest["targets"]-1), foreign(targets)))},
			}
			if !repo.Consistent() {
				attacks = append(attacks, attack{name: "all three taken back", rolledBack: true,
					change: all(overwrite(timestamp, earlier(timestamp, 1)),
						overwrite(snapshot, earlier(snapshot, 1)), overwrite(targets, earlier(targets, 1)))},
					attack{name: "timestamp and snapshot taken back, targets not", rolledBack: true,
						change: all(overwrite(timestamp, earlier(timestamp, 1)), overwrite(snapshot, earlier(snapshot, 1)))})
			}
			for _, a := range attacks {
				a.roles = []string{metadata.TARGETS}
				v.attacked(t, a)
			}
		})
	}
	count.log(t)
}

// A delegated role's file that cannot be trusted stops nothing but a roll of that role, or of those
// below it.
func TestABrokenDelegatedRoleStopsOnlyWhoAsksForIt(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	other := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested})
	team := repo.File("team a", 1)
	repo.Overwrite(t, team, other.Read(t, team))
	provider := repo.Provider(t)
	for _, role := range []string{"team a", "inner", "innermost"} {
		t.Run(role, func(t *testing.T) {
			blames(t, team, refused(t, newUpdater(t, repo, provider), repo, provider, role), role)
		})
	}
	result := roll(t, newUpdater(t, repo, provider), repo)
	require.Len(t, result.Warnings, 1)
	assert.Contains(t, result.Warnings[0], team)
}

// An updater that has seen the repository need not read what it wrote, so it may go on where a new
// one refuses. Clients follow it.
func TestClientsFollowAnUpdaterThatHasSeenMore(t *testing.T) {
	for shape, options := range swapped {
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			base := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
			stranger := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
			for name := range files(t, base) {
				if !isMetadata(base, name) {
					continue
				}
				for other, content := range files(t, stranger) {
					if !isMetadata(stranger, other) {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						repo := base.Copy(t)
						provider := repo.Provider(t)
						u := newUpdater(t, repo, provider)
						roll(t, u, repo)
						client := newClient(t, repo)
						require.NoError(t, client.Refresh())
						repo.Overwrite(t, name, []byte(content))
						before := files(t, repo)
						_, err := u.Roll(t.Context(), repo.App, nil)
						sameVersionsSameBytes(t, repo, before, files(t, repo), name)
						if err == nil {
							assert.NoError(t, client.Refresh(), "%s is %s", name, other)
						}
					})
				}
			}
		})
	}
}
