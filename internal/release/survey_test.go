package release_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/internal/release"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// roundTrip is how long each call of the store takes, in the time of a synctest bubble.
const roundTrip = 20 * time.Millisecond

// A surveyor looks at a repository again and again.
type surveyor struct {
	repo  *testrepo.Repo
	store *storagetest.Flaky
	load  release.Loader
	known repofiles.State
}

func newSurveyor(repo *testrepo.Repo, provider *testrepo.Provider, word published.Word) *surveyor {
	s := &surveyor{repo: repo, store: storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
		time.Sleep(roundTrip)
		return storagetest.Fault{}
	})}
	s.load = release.Loader{
		App: repo.App, Store: s.store, Record: repofiles.NewRecord(nil), Word: word,
		Ring: custody.NewKeyring(provider, repo.App, custody.TargetsByKeys),
		Pin:  func(context.Context) ([]byte, error) { return repo.Root, nil },
	}
	return s
}

// look surveys the repository as tufupdate does. It returns what is listed, what is uploaded, and
// which files were read for it.
func (s *surveyor) look(t *testing.T, in published.Input) (listed, uploaded *published.Repository, read []string) {
	t.Helper()
	before := len(s.store.Calls())
	set := repofiles.NewSet(s.store, s.known, false)
	load := func(depth published.Depth) *published.Repository {
		in.Survey, in.Depth = true, depth
		repo, err := s.load.Load(t.Context(), set, in)
		require.NoError(t, err)
		return repo
	}
	load(published.ToSnapshot)
	listed = load(published.ToTargets)
	for _, target := range listed.Targets() {
		for {
			_, questions := listed.Holding(target, s.load.Ring)
			if len(questions) == 0 {
				break
			}
			for _, q := range questions {
				_, err := s.load.Ring.Of(t.Context(), q)
				require.NoError(t, err)
			}
		}
	}
	uploaded = load(published.ToUploads)
	s.known = repofiles.State{Roots: listed.Roots, Files: set.Files()}
	for _, c := range s.store.Calls()[before:] {
		require.Equal(t, storagetest.Get, c.Verb)
		read = append(read, strings.TrimPrefix(c.Key, s.repo.App+"/"))
	}
	return listed, uploaded, read
}

// What a survey reads of an app that nobody touches and whose files are cached: a new root, the
// timestamp, and where uploads count the next version. It waits for the first two at the same time,
// and then for all others at the same time.
func TestASurveyReadsWhatMayHaveChanged(t *testing.T) {
	nested := []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}, Children: []testrepo.Delegation{
		{Name: "inner", Paths: []string{"team/*"}},
	}}}
	always := []string{"2.root.json", "timestamp.json"}
	for name, test := range map[string]struct {
		options  testrepo.Options
		offline  []string
		uploads  string // a role that takes some
		thorough bool   // whether uploads of bins are looked for, and such that skip a number
		besides  []string
	}{
		"all roles online":    {options: testrepo.Options{Delegation: nested}},
		"targets are offline": {offline: []string{"targets"}, besides: []string{"2.targets.json"}},
		"targets are offline, looked at thoroughly": {offline: []string{"targets"}, thorough: true,
			besides: []string{"2.targets.json", "3.targets.json"}},
		"delegated roles are offline": {options: testrepo.Options{Delegation: nested}, offline: []string{"team", "inner"},
			besides: []string{"2.team.json", "2.inner.json"}},
		"an online role takes uploads": {options: testrepo.Options{Delegation: nested}, uploads: "inner",
			besides: []string{"2.inner.json"}},
		"bins are online": {options: testrepo.Options{Succinct: 3}, thorough: true},
		"bins are offline": {options: testrepo.Options{Succinct: 1}, offline: []string{"bin", "bin-0", "bin-1"}, thorough: true,
			besides: []string{"2.bin-0.json", "3.bin-0.json", "2.bin-1.json", "3.bin-1.json"}},
		"bins are left alone":    {options: testrepo.Options{Succinct: 3}, offline: []string{"bin", "bin-0"}},
		"bins that take uploads": {options: testrepo.Options{Succinct: 3}, uploads: "bin"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), test.options)
			s := newSurveyor(repo, repo.Provider(t, test.offline...), published.Word{
				Uploads: map[string]bool{test.uploads: true},
			})
			in := published.Input{Thorough: test.thorough}
			synctest.Test(t, func(t *testing.T) {
				s.look(t, in)
				begun := time.Now()
				_, uploaded, read := s.look(t, in)
				waited := time.Since(begun)
				assert.ElementsMatch(t, slices.Concat(always, test.besides), read)
				assert.Empty(t, uploaded.Uploads())
				assert.LessOrEqual(t, waited, time.Duration(1+min(1, len(test.besides)))*roundTrip)
			})
		})
	}
}

// What becomes of unlisted versions, in a survey and in the roll that follows.
func TestWhatBecomesOfUploads(t *testing.T) {
	options := testrepo.Options{Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}}}
	more := func(path string) func(*metadata.TargetsType) {
		return func(d *metadata.TargetsType) { d.Targets[path] = d.Targets[testrepo.TopTarget] }
	}
	type upload struct {
		version int64
		reason  string // that is part of what is said; "" if it is accepted
	}
	for name, test := range map[string]struct {
		online  bool // targets is, by its keys
		uploads bool // its holders upload
		given   func(t *testing.T, repo *testrepo.Repo)
		survey  []upload // of targets
		roll    []upload
	}{
		"none": {},
		"one": {
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, more("a")) },
			survey: []upload{{2, ""}}, roll: []upload{{2, ""}},
		},
		"one that says the same until later": {
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, nil) },
			survey: []upload{{2, ""}}, roll: []upload{{2, ""}},
		},
		"several, of which the newest is listed": {
			given: func(t *testing.T, repo *testrepo.Repo) {
				repo.Upload(t, "targets", 2, more("a"))
				repo.Upload(t, "targets", 3, more("b"))
			},
			survey: []upload{{3, ""}}, roll: []upload{{3, ""}},
		},
		"one by a stranger": {
			given: func(t *testing.T, repo *testrepo.Repo) {
				repo.Keys["targets"] = []*testrepo.Key{testrepo.NewKey(t, testrepo.Ed25519)}
				repo.Upload(t, "targets", 2, more("a"))
			},
			survey: []upload{{2, "present keys"}}, roll: []upload{{2, "present keys"}},
		},
		"half of one, and one that is whole": {
			given: func(t *testing.T, repo *testrepo.Repo) {
				_, err := repo.Store.Create(t.Context(), repo.File("targets", 2), []byte("{"))
				require.NoError(t, err)
				repo.Upload(t, "targets", 3, more("a"))
			},
			survey: []upload{{3, ""}, {2, "does not verify"}}, roll: []upload{{3, ""}, {2, "does not verify"}},
		},
		"one that waits for the role that it declares": {
			given: func(t *testing.T, repo *testrepo.Repo) {
				repo.Upload(t, "targets", 2, func(d *metadata.TargetsType) {
					repo.Declare(t, d, testrepo.Delegation{Name: "new", Paths: []string{"new/*"}})
				})
			},
			survey: []upload{{2, "delegated role new"}}, roll: []upload{{2, "delegated role new"}},
		},
		"one that skips a number": {
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, more("a")); moveUp(t, repo, 2) },
			survey: []upload{{3, "version 2 is the next one"}},
		},
		"one that skips a number after another": {
			given: func(t *testing.T, repo *testrepo.Repo) {
				repo.Upload(t, "targets", 2, more("a"))
				repo.Upload(t, "targets", 3, more("b"))
				moveUp(t, repo, 3)
			},
			survey: []upload{{4, "version 3 is the next one"}, {2, ""}}, roll: []upload{{2, ""}},
		},
		"one of an online role": {
			online: true,
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, more("a")) },
			roll:   []upload{{2, "the role is online"}},
		},
		"one of an online role that takes some": {
			online: true, uploads: true,
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, more("a")) },
			survey: []upload{{2, ""}}, roll: []upload{{2, ""}},
		},
		"what an unpublished release has left": {
			online: true,
			given:  func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, nil) },
		},
		"what an unpublished release has left of a role that takes uploads": {
			online: true, uploads: true,
			given: func(t *testing.T, repo *testrepo.Repo) { repo.Upload(t, "targets", 2, nil) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), options)
			offline := []string{"targets"}
			if test.online {
				offline = nil
			}
			if test.given != nil {
				test.given(t, repo)
			}
			s := newSurveyor(repo, repo.Provider(t, offline...), published.Word{
				Uploads: map[string]bool{"targets": test.uploads},
			})
			synctest.Test(t, func(t *testing.T) {
				of := func(found *published.Repository, want []upload) {
					t.Helper()
					require.Len(t, found.Uploads(), len(want), "%v", found.Uploads())
					said := 0
					for i, u := range found.Uploads() {
						assert.Equal(t, "targets", u.Role)
						assert.Empty(t, u.Bins)
						assert.Equal(t, want[i].version, u.Version)
						assert.Equal(t, repo.File("targets", want[i].version), u.File)
						if want[i].reason == "" {
							assert.NoError(t, u.Reason)
							continue
						}
						said++
						assert.ErrorContains(t, u.Reason, want[i].reason)
					}
					assert.Len(t, found.Ignored(), said)
					assert.Empty(t, found.Warnings, "nothing is said twice")
				}
				listed, uploaded, _ := s.look(t, published.Input{Thorough: true})
				of(uploaded, test.survey)
				for _, target := range listed.Targets() { // what clients see
					assert.EqualValues(t, 1, target.Listed.Version(), target.Role.Name)
					assert.NoError(t, target.Err)
				}
				rolled, err := s.load.Load(t.Context(), repofiles.NewSet(s.store, repofiles.State{}, false), published.Input{
					Roles: []string{"snapshot"}, Depth: published.ToTargets,
				})
				require.NoError(t, err)
				of(rolled, test.roll)
				for _, u := range rolled.Uploads() {
					d := rolled.Accepted["targets"]
					assert.Equal(t, u.Reason == nil, d != nil && d.Version() == u.Version)
				}
			})
		})
	}
}

// moveUp gives version N of targets the next number, which leaves a gap.
func moveUp(t *testing.T, repo *testrepo.Repo, version int64) {
	t.Helper()
	data := repo.NextTargets(t, "targets", version+1, nil)
	_, err := repo.Store.Create(t.Context(), repo.File("targets", version+1), data)
	require.NoError(t, err)
	require.NoError(t, repo.Store.(storage.Deleter).Delete(t.Context(), repo.File("targets", version)))
}

// A survey shows what clients see, not what they will see: an upload may replace the keys of a role
// below it, and have it offline.
func TestASurveyJudgesWhatIsListedByWhatIsListed(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
		Delegation: []testrepo.Delegation{{Name: "team", Paths: []string{"team/*"}}},
	})
	provider := repo.Provider(t, "targets", "team")
	provider.Kept = repo.Keys["team"]
	s := newSurveyor(repo, provider, published.Word{Online: map[published.Delegation]bool{
		{Declarer: "targets", Role: "team"}: true,
	}})
	synctest.Test(t, func(t *testing.T) {
		_, uploaded, _ := s.look(t, published.Input{})
		assert.Empty(t, uploaded.Uploads())
	})
	repo.Upload(t, "targets", 2, func(d *metadata.TargetsType) {
		d.Delegations = nil
		repo.Declare(t, d, testrepo.Delegation{Name: "team", Paths: []string{"team/*"}})
	})
	repo.Upload(t, "team", 2, nil)
	synctest.Test(t, func(t *testing.T) {
		found, uploaded, _ := s.look(t, published.Input{})
		require.Len(t, uploaded.Uploads(), 2)
		for _, u := range uploaded.Uploads() {
			require.NoError(t, u.Reason)
		}
		require.Len(t, found.Targets(), 2)
		for _, target := range found.Targets() {
			require.NoError(t, target.Err)
			assert.EqualValues(t, 1, target.Listed.Version())
		}
		team, _ := found.Holding(found.Targets()[1], s.load.Ring)
		assert.Equal(t, custody.Online, team.State, "as yet")
	})
}
