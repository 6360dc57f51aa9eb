package tufupdate_test

import (
	"crypto"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys/keystest"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

// A shape is how a role delegates to bins.
type shape int

const (
	succinct shape = iota
	hashed         // by path_hash_prefixes
	distinct       // likewise, each with a key of its own
	paths          // no bins but as many roles, each with paths and a key of its own
)

var shapes = map[string]shape{"succinct": succinct, "hashed": hashed, "distinct": distinct, "paths": paths}

// binsBelow returns a repository in which role bins delegates to 2^bits bins, as PyPI's does (PEP
// 458).
func binsBelow(t testing.TB, bits int, s shape) *testrepo.Repo {
	t.Helper()
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
		Delegation: []testrepo.Delegation{{Name: "bins", Paths: []string{"*"}}},
	})
	bins := repo.Targets(t, "bins", 1)
	snapshot, err := metadata.Snapshot().FromBytes(repo.Read(t, repo.File("snapshot", 1)))
	require.NoError(t, err)
	common := testrepo.NewKey(t, testrepo.Ed25519)
	from := &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	if bins.Signed.Delegations = from; s == succinct {
		from.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: []string{common.ID}, Threshold: 1, BitLength: bits,
			NamePrefix: "bin"}
	}
	for i := range 1 << bits {
		name, key := fmt.Sprintf("bin-%0*x", (bits+3)/4, i), common
		if s == distinct || s == paths {
			key = testrepo.NewKey(t, testrepo.Ed25519)
		}
		repo.Keys[name] = []*testrepo.Key{key}
		from.Keys[key.ID] = key.Public
		role := metadata.DelegatedRole{Name: name, KeyIDs: []string{key.ID}, Threshold: 1}
		if s == paths {
			role.Paths = []string{name + "/*"}
		} else {
			role.PathHashPrefixes = []string{name[len("bin-"):]}
		}
		if s != succinct {
			from.Roles = append(from.Roles, role)
		}
		_, err := repo.Store.Create(t.Context(), repo.File(name, 1), emptyTargets(t, key, 1))
		require.NoError(t, err)
		snapshot.Signed.Meta[name+".json"] = metadata.MetaFile(1)
	}
	repo.Overwrite(t, repo.File("bins", 1), testrepo.SignWith(t, bins, false, repo.Keys["bins"]...))
	repo.Overwrite(t, repo.File("snapshot", 1), testrepo.SignWith(t, snapshot, false, repo.Keys["snapshot"]...))
	return repo
}

// emptyTargets returns a targets document without target files. Go-tuf itself would take long to
// sign thousands.
func emptyTargets(t testing.TB, key *testrepo.Key, version int) []byte {
	t.Helper()
	body := fmt.Sprintf(`{"_type":"targets","expires":%q,"spec_version":"1.0.31","targets":{},"version":%d}`,
		time.Now().UTC().AddDate(0, 0, 9).Format(time.RFC3339), version)
	sig, err := key.Private.Sign(nil, []byte(body), crypto.Hash(0))
	require.NoError(t, err)
	return fmt.Appendf(nil, `{"signatures":[{"keyid":%q,"sig":"%x"}],"signed":%s}`, key.ID, sig, body)
}

// ofBins are the ways in which bins are online or not, by what the keys' place and settings are.
var ofBins = map[string]struct {
	offline  []string
	settings tufupdate.Settings
}{
	"online":                 {},
	"below an offline role":  {offline: []string{"bins"}},
	"online by the settings": {offline: []string{"bins"}, settings: named},
	"with uploads":           {settings: tufupdate.Settings{Uploads: []string{"bin"}}},
}

var named = tufupdate.Settings{Online: []tufupdate.Delegation{{Declarer: "bins", Role: "bin"}}}

// What is the same for all bins of a delegation is found out once. Twice as many bins take twice as
// much work, which memory that is allocated stands for.
func TestWorkForBinsGrowsAsTheirNumber(t *testing.T) {
	if withRace {
		t.Skip("the race detector allocates too")
	}
	for name, s := range shapes {
		few, many := binsBelow(t, 8, s), binsBelow(t, 11, s)
		for how, test := range ofBins {
			t.Run(name+", "+how, func(t *testing.T) {
				for _, verb := range []string{"status", "roll"} {
					allocated := func(repo *testrepo.Repo) float64 {
						roles, set := []string{"bin"}, test.settings
						if s == paths {
							roles, set = each(repo, set)
						}
						u := newUpdater(t, repo, repo.Provider(t, test.offline...), settings(set))
						var before, after runtime.MemStats
						var err error
						runtime.ReadMemStats(&before)
						if verb == "status" {
							_, err = u.Status(t.Context(), repo.App)
						} else {
							_, err = u.Roll(t.Context(), repo.App, roles)
						}
						runtime.ReadMemStats(&after)
						require.Equal(t, verb == "roll" && how == "below an offline role", err != nil, "%v", err)
						return float64(after.TotalAlloc - before.TotalAlloc)
					}
					assert.Less(t, allocated(many)/allocated(few), 10.0, "%s of eight times as many", verb)
				}
			})
		}
	}
}

// each returns the roles that bins have in their place, and settings that name each of them.
func each(repo *testrepo.Repo, s tufupdate.Settings) (roles []string, set tufupdate.Settings) {
	for role := range repo.Keys {
		if strings.HasPrefix(role, "bin-") {
			roles = append(roles, role)
			set.Online = append(set.Online, tufupdate.Delegation{Declarer: "bins", Role: role})
		}
	}
	if len(s.Online) == 0 {
		set.Online = nil
	}
	if len(s.Uploads) > 0 {
		set.Uploads = roles
	}
	return roles, set
}

// The provider is asked once for all bins that share a role.
func TestQuestionsForBinsDoNotGrow(t *testing.T) {
	for name, s := range map[string]shape{"succinct": succinct, "hashed": hashed} {
		for how, test := range ofBins {
			t.Run(name+", "+how, func(t *testing.T) {
				asked := func(bits int) int {
					repo := binsBelow(t, bits, s)
					provider := keystest.NewFlaky(repo.Provider(t, test.offline...), nil)
					u := newUpdater(t, repo, nil, settings(test.settings), func(c *tufupdate.Config) { c.Keys = provider })
					_, err := u.Status(t.Context(), repo.App)
					require.NoError(t, err)
					n := 0
					for _, c := range provider.Calls() {
						if c.Verb == keystest.Signer {
							n++
						}
					}
					return n
				}
				assert.Equal(t, 6, asked(4)) // root, timestamp, snapshot, targets, bins and bin
				assert.Equal(t, 6, asked(8))
			})
		}
	}
}

// BenchmarkBins16384 is a status and a cold roll of all bins.
func BenchmarkBins16384(b *testing.B) {
	for name, s := range shapes {
		if s == distinct || s == paths {
			continue
		}
		for _, bits := range []int{13, 14} {
			repo := binsBelow(b, bits, s)
			for _, verb := range []string{"status", "roll"} {
				b.Run(fmt.Sprintf("%s/%d/%s", name, 1<<bits, verb), func(b *testing.B) {
					for b.Loop() {
						var err error
						u := newUpdater(b, repo, repo.Provider(b, "bins"), settings(named))
						if verb == "status" {
							_, err = u.Status(b.Context(), repo.App)
						} else {
							_, err = u.Roll(b.Context(), repo.App, []string{"bin"})
						}
						require.NoError(b, err)
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(int(1)<<bits), "µs/bin")
				})
			}
		}
	}
}
