package repofiles_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A signing is a timestamp role with three keys, a, b and c.
type signing struct {
	repo *testrepo.Repo
	root *tufmeta.RootDocument
}

func newSigning(t testing.TB) signing {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}),
		testrepo.Options{Threshold: map[string]int{tufmeta.Timestamp: 3}})
	d, err := tufmeta.Parse(repo.Root)
	require.NoError(t, err)
	root, err := tufmeta.ParseRoot(d)
	require.NoError(t, err)
	return signing{repo, root}
}

// role returns the role with another threshold, and only those of its keys.
func (s signing) role(t testing.TB, threshold int, keys string) *tufmeta.Role {
	role := *s.root.Roles[tufmeta.Timestamp]
	role.Threshold, role.Keys = threshold, nil
	for _, k := range keys {
		id := s.repo.Keys[tufmeta.Timestamp][k-'a'].ID
		for _, declared := range s.root.Roles[tufmeta.Timestamp].Keys {
			if declared.ID == id {
				role.Keys = append(role.Keys, declared)
			}
		}
	}
	require.Len(t, role.Keys, len(keys))
	return &role
}

// timestamp returns a document that these keys have signed. Documents with another snapshot
// version have other bytes.
func (s signing) timestamp(t testing.TB, version, snapshot int64, keys string) *tufmeta.Verified {
	md := metadata.Timestamp(s.root.Expires())
	md.Signed.Version, md.Signed.Meta["snapshot.json"].Version = version, snapshot
	var signers []*testrepo.Key
	for _, k := range keys {
		signers = append(signers, s.repo.Keys[tufmeta.Timestamp][k-'a'])
	}
	d, err := tufmeta.Parse(testrepo.SignWith(t, md, false, signers...))
	require.NoError(t, err)
	v, err := s.role(t, 1, "abc").Verify(d)
	require.NoError(t, err)
	return v
}

func TestTheHighestMarkThatARolesKeysSatisfyCounts(t *testing.T) {
	s := newSigning(t)
	var m repofiles.Marks
	for version, keys := range map[int64]string{5: "a", 4: "ab", 3: "bc", 2: "abc"} {
		m.Note(s.timestamp(t, version, 1, keys))
	}
	for _, c := range []struct {
		threshold int
		keys      string
		want      int64
	}{
		{1, "abc", 5}, {1, "bc", 4}, {1, "c", 3}, {2, "abc", 4}, {2, "bc", 3}, {2, "ac", 2}, {3, "abc", 2}, {1, "b", 4},
	} {
		assert.Equal(t, c.want, m.Of(s.role(t, c.threshold, c.keys)).Version, "%d of %s", c.threshold, c.keys)
	}
	assert.Zero(t, m.Of(s.root.Roles[tufmeta.Snapshot]), "another role")
	assert.Equal(t, map[string]int64{"timestamp": 5}, m.Versions())
}

func TestMarksOnlyGrow(t *testing.T) {
	s := newSigning(t)
	var m repofiles.Marks
	assert.True(t, m.Empty())
	first, second := s.timestamp(t, 1, 1, "ab"), s.timestamp(t, 2, 1, "ab")
	assert.True(t, m.Note(second))
	assert.False(t, m.Empty())
	assert.False(t, m.Note(second))
	assert.False(t, m.Note(first))
	assert.False(t, m.Note(s.timestamp(t, 1, 1, "a")), "it says nothing beyond version 2")
	assert.False(t, m.Note(s.timestamp(t, 2, 7, "ab")), "of two documents with one number the first stays")
	assert.Equal(t, repofiles.MarkOf(second), m.Of(s.role(t, 1, "abc")))

	before := m.Clone()
	assert.True(t, m.Note(s.timestamp(t, 3, 1, "abc")))
	assert.Len(t, m.Roles[tufmeta.Timestamp], 1, "a set of keys that says nothing more is left out")
	assert.Equal(t, repofiles.MarkOf(second), before.Of(s.role(t, 1, "abc")), "a clone does not change")

	assert.True(t, m.Note(s.root.Verified))
	assert.Equal(t, repofiles.MarkOf(s.root.Verified), m.Root)
	assert.Equal(t, m.Root, m.Of(s.root.Roles[tufmeta.Root]))
	assert.False(t, m.Note(s.root.Verified))
	assert.Equal(t, map[string]int64{"timestamp": 3, "root": 1}, m.Versions())
}

func TestMarksAreTheSameInWhateverOrderTheyCome(t *testing.T) {
	s := newSigning(t)
	var documents []repofiles.Marks
	for _, v := range []*tufmeta.Verified{
		s.timestamp(t, 5, 1, "a"), s.timestamp(t, 4, 1, "ab"), s.timestamp(t, 3, 1, "abc"), s.timestamp(t, 6, 1, "b"),
		s.root.Verified,
	} {
		var m repofiles.Marks
		m.Note(v)
		documents = append(documents, m)
	}
	var one, other repofiles.Marks
	for i := range documents {
		assert.True(t, one.Merge(documents[i]))
		other.Merge(documents[len(documents)-1-i])
	}
	assert.Equal(t, one, other)
	assert.False(t, one.Merge(other))
}

// For how long a document was signed is kept, whoever notes it first, and however many keys more
// have signed it since.
func TestValidityIsKeptInAnyOrder(t *testing.T) {
	sum := [32]byte{1}
	seen := repofiles.Mark{Version: 3, Sum: sum, Keys: []string{"a"}}
	signed := seen
	signed.Validity = time.Hour
	more := repofiles.Mark{Version: 3, Sum: sum, Keys: []string{"a", "b"}}
	want := repofiles.Mark{Version: 3, Sum: sum, Keys: []string{"a", "b"}, Validity: time.Hour}
	of := func(marks ...repofiles.Mark) repofiles.Marks {
		return repofiles.Marks{Roles: map[string][]repofiles.Mark{"timestamp": marks}}
	}
	for _, order := range [][]repofiles.Mark{
		{seen, signed, more}, {signed, seen, more}, {more, signed, seen}, {more, seen, signed}, {signed, more, seen},
		{seen, more, signed},
	} {
		var m repofiles.Marks
		for _, mark := range order {
			m.Merge(of(mark))
		}
		assert.Equal(t, of(want), m)
		assert.False(t, m.Merge(of(signed)), "it is known")
	}
}
