package tufupdate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// What a roll may change, as text: the values of version, expires, length and sha256 where a roll
// writes them.
var mayChange = []*regexp.Regexp{
	regexp.MustCompile(`"version":\s*\d+`),
	regexp.MustCompile(`"expires":\s*"[^"]*"`),
}

// And in the files that list others.
var mayChangeInLists = append(slices.Clone(mayChange), regexp.MustCompile(`"length":\s*\d+`),
	regexp.MustCompile(`"sha256":\s*"[0-9a-f]{64}"`))

// withoutChanges returns the rest of what a file says, whatever its layout is and what lies around
// that.
func withoutChanges(t *testing.T, text string, lists bool) string {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	compact, err := json.Marshal(v["signed"]) // members in order
	require.NoError(t, err)
	text = string(compact)
	expressions := mayChange
	if lists {
		expressions = mayChangeInLists
	}
	for _, e := range expressions {
		text = e.ReplaceAllString(text, "")
	}
	return text
}

// TUF checklist 1 and 2: what nobody here knows survives and stays signed. The layout does not.
func TestAllValuesButThoseMeantToChangeStay(t *testing.T) {
	for _, pretty := range []bool{true, false} {
		t.Run(fmt.Sprintf("pretty %v", pretty), func(t *testing.T) {
			repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{
				Pretty: pretty, Unknown: true, Hashes: true, Delegation: nested,
				Keys:      map[string]string{"root": testrepo.RSA, "snapshot": testrepo.ECDSA, "timestamp": testrepo.Ed25519},
				Threshold: map[string]int{"targets": 2},
			})
			before := files(t, repo)
			u := newUpdater(t, repo, repo.Provider(t))
			roles := []string{"targets", "team a", "inner", "innermost", "team+b/ü"}
			for round := int64(2); round <= 3; round++ {
				result := roll(t, u, repo, roles...)
				require.ElementsMatch(t, append(slices.Clone(roles), "snapshot", "timestamp"),
					slices.Collect(maps.Keys(result.Versions)))
				after := files(t, repo)
				for role := range result.Versions {
					old, now := before[repo.File(role, 1)], after[repo.File(role, round)]
					require.NotEmpty(t, now, role)
					lists := role == "snapshot" || role == "timestamp"
					assert.Equal(t, withoutChanges(t, old, lists), withoutChanges(t, now, lists), role)
					assert.NotEqual(t, old, now, role)
					assert.Regexp(t, `^{"signatures":\[{"keyid":"[^\n\t]*"}\],"signed":{"_type":"[^\n\t]*}}$`, now, role)
				}
				for name, data := range before {
					if !strings.HasSuffix(name, "timestamp.json") {
						assert.Equal(t, data, after[name], "%s was there before", name)
					}
				}
				data, err := newClient(t, repo).Target("a/innermost")
				require.NoError(t, err)
				assert.Equal(t, "a/innermost", string(data))
			}
		})
	}
}

func TestADocumentExpiresItsFullValidityFromNowInWholeSeconds(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	roll(t, newUpdater(t, repo, repo.Provider(t)), repo)
	for _, role := range []string{"targets", "snapshot", "timestamp"} {
		var file struct {
			Signed struct{ Expires string } `json:"signed"`
		}
		require.NoError(t, json.Unmarshal(repo.Read(t, repo.File(role, 2)), &file))
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, file.Signed.Expires, role)
	}
}
