package tufupdate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// A place in a JSON document is the path that leads there from the top: names and numbers.
type place []any

func (p place) String() string { return strings.Trim(fmt.Sprint([]any(p)), "[]") }

// places returns all places in a document, in order.
func places(document any) []place {
	var all []place
	var walk func(v any, path place)
	walk = func(v any, path place) {
		if len(path) > 0 {
			all = append(all, slices.Clone(path))
		}
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name], append(path, name))
			}
		case []any:
			for i := range v {
				walk(v[i], append(path, i))
			}
		}
	}
	walk(document, nil)
	return all
}

// gone is a change that takes a value out.
const gone = ""

// put returns a document in which another text lies in a place.
func put(t *testing.T, document []byte, at place, text string) []byte {
	t.Helper()
	root := decode(t, document)
	var change func(v any, path place) any
	change = func(v any, path place) any {
		if len(path) == 0 {
			return json.RawMessage(text)
		}
		switch v := v.(type) {
		case map[string]any:
			name, _ := path[0].(string)
			if len(path) == 1 && text == gone {
				delete(v, name)
			} else {
				v[name] = change(v[name], path[1:])
			}
		case []any:
			i, _ := path[0].(int)
			if len(path) == 1 && text == gone {
				return slices.Delete(v, i, i+1)
			}
			v[i] = change(v[i], path[1:])
		}
		return v
	}
	data, err := json.Marshal(change(root, at))
	require.NoError(t, err)
	return data
}

func decode(t *testing.T, document []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var v any
	require.NoError(t, decoder.Decode(&v))
	return v
}

// strange are values that do not belong where they are put.
var strange = []string{"null", "[]", "{}", `""`, "0", "-1", "1.5", "1e400", "18446744073709551616", "true", gone}

// A victimFile is one file of each kind, its role, and what is rolled.
type victimFile struct {
	role string
	name string
	data []byte
}

// kinds returns one file of each kind of a repository, and a second root that is to follow the
// first.
func kinds(t *testing.T, repo *testrepo.Repo) []victimFile {
	t.Helper()
	root, err := metadata.Root().FromBytes(repo.Root)
	require.NoError(t, err)
	root.Signed.Version = 2
	all := []victimFile{{"root", repo.File("root", 2), testrepo.SignWith(t, root, false, repo.Keys["root"]...)}}
	for _, role := range []string{"timestamp", "snapshot", "targets", "team a"} {
		name := repo.File(role, 1)
		all = append(all, victimFile{role, name, repo.Read(t, name)})
	}
	return all
}

// Every value of every file is replaced by every strange one.
func TestEveryValueReplaced(t *testing.T) {
	var count tally
	t.Run("files", func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested[:1]})
		v := newVictim(t, repo, &count)
		for _, f := range kinds(t, repo) {
			for _, anew := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, signed anew %v", f.role, anew), func(t *testing.T) {
					t.Parallel()
					for _, at := range places(decode(t, f.data)) {
						for i, text := range strange {
							if withRace && i%4 != 0 {
								continue
							}
							if anew && text == gone && at.String() == "signed consistent_snapshot" {
								continue // which is a change of the layout, and carried out
							}
							v.attacked(t, f.attack(t, repo, at, text, anew))
						}
					}
				})
			}
		}
	})
	count.log(t)
}

// roles are those to roll so that the file counts.
func (f victimFile) roles() []string {
	if f.role == "team a" {
		return []string{"targets", f.role}
	}
	return []string{"targets"}
}

// attack returns the attack that puts a text into a place.
func (f victimFile) attack(t *testing.T, repo *testrepo.Repo, at place, text string, anew bool) attack {
	data := put(t, f.data, at, text)
	a := attack{name: fmt.Sprintf("%s: %v = %s", f.name, at, text), roles: f.roles(), signed: anew}
	same := assert.ObjectsAreEqual(decode(t, f.data), decode(t, data))
	if anew {
		data = signAnew(data, repo.Keys[f.role])
	}
	a.change = overwrite(f.name, data)
	switch {
	case same:
		a.harmless = "it is the value that was there"
	case anew || at[0] == "signatures" || f.role == "timestamp" || f.role == "snapshot": // which are derived
		a.either = f.name
	default:
		a.blamed = f.name
	}
	return a
}
