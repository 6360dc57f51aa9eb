package tufmeta

import (
	"encoding/hex"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readAll reads all of a document that is ever read: what go-tuf reads at once takes two steps
// here.
func readAll(data []byte) (*Document, error) {
	d, err := Parse(data)
	if err != nil {
		return nil, err
	}
	switch d.Type() {
	case Root:
		if _, err = ParseRoot(d); errors.Is(err, ErrThreshold) {
			err = nil // go-tuf looks at signatures later
		}
	case Targets:
		_, err = ParseDelegations(d)
	}
	return d, err
}

// onlyTheyRead says why we refuse documents that go-tuf reads, by what our error says.
var onlyTheyRead = []struct {
	says *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`duplicate member|negative zero|invalid UTF-8|lone surrogate|nested more than`), "see ambiguity"},
	{regexp.MustCompile(`floating point number|number out of range`),
		"there is no canonical form, so nobody signed it; go-tuf sees that later"},
	{regexp.MustCompile(`: missing`), "go-tuf takes what is missing for empty"},
	{regexp.MustCompile(`: not (an object|an array|a string|an integer|true or false)`), "go-tuf takes null for empty"},
	{regexp.MustCompile(`spec_version: "([^1"].*|1[^.].*|)" is not 1\.x`),
		"clients are to look at it (5.3 and others); go-tuf does not"},
	{regexp.MustCompile(`version: (0|-\d+|\d{16,}) is not between 1 and`),
		"versions begin at 1; clients in JavaScript count to 2^53-1"},
	{regexp.MustCompile(`bit_length: (0|-\d+|3[3-9]|[4-9]\d|\d{3,}) is not between 1 and`),
		"bins have 1 to 32 bits (TAP 15)"},
	{regexp.MustCompile(`length: (0|-\d+) is not positive`), "no file that is listed is empty"},
	{regexp.MustCompile(`lists (0|[2-9]|\d{2,}) files, not just snapshot|does not list`),
		"timestamps list the snapshot alone, snapshots the targets"},
	{regexp.MustCompile(`is there twice`), "key IDs of a role are unique"},
	{regexp.MustCompile(`threshold: (0|-\d+) is less than 1`),
		"thresholds are positive; go-tuf verifies nothing by that role"},
	{regexp.MustCompile(`threshold: \d+, of \d+ keys`), "nobody can sign for a role that asks for more keys than it has"},
	{regexp.MustCompile(`both roles and succinct_roles`), "there is one or the other (TAP 15)"},
}

func refusal(err error) string {
	for _, reason := range onlyTheyRead {
		if reason.says.MatchString(err.Error()) {
			return reason.why
		}
	}
	return ""
}

// What we read is what go-tuf reads, with the same content, but for differences that have a reason.
func FuzzParse(f *testing.F) {
	for _, data := range fixtures(f) {
		f.Add(data, []byte{})
	}
	for _, seed := range []string{
		`{"signatures":[{"keyid":"a","sig":""},{"keyid":"b","sig":"00"}],"signed":{"_type":"timestamp","spec_version":"1.0","version":9007199254740991,` +
			`"expires":"2030-01-01T01:00:00.5+01:00","meta":{"snapshot.json":{"version":2,"length":3,"hashes":{"sha256":"ABcd"}}}}}`,
		`{"signed":{"_type":"snapshot","spec_version":"1","version":1,"expires":"2030-01-01T00:00:00Z","meta":{"targets.json":{"version":1,"x":1},` +
			`"a":{"version":2},"b.json":{"version":3}}},"signatures":[]}`,
		`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0.31","version":1,"expires":"2030-01-01T00:00:00Z",` +
			`"targets":{"a":{"length":1,"hashes":{"sha256":"00"}}},"delegations":{"keys":{},"roles":[]}}}`,
		`{"signatures":[],"Signed":{},"signed":{"_type":"root","Version":2,"spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z"}}`,
		`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-01T0:00:00Z","targets":{}}}`,
	} {
		f.Add([]byte(seed), []byte{})
	}
	f.Fuzz(func(t *testing.T, data, edits []byte) {
		data = mutate(data, edits)
		d, err := readAll(data)
		theirs, theirErr := readForeign(data)
		switch {
		case err != nil && theirErr != nil:
			return
		case err != nil:
			require.NotEmpty(t, refusal(err), "only go-tuf reads it, we say: %v", err)
			return
		case hasOddCase(data):
			return
		case theirErr != nil:
			require.NotEmpty(t, onlyWeRead(data), "only we read it, go-tuf says: %v", theirErr)
			return
		}
		require.Equal(t, theirs.version, d.Version())
		require.True(t, theirs.expires.Equal(d.Expires()), "%v, %v", theirs.expires, d.Expires())
		if d.Type() != Timestamp && d.Type() != Snapshot {
			return
		}
		require.Len(t, d.meta, len(theirs.meta))
		listed := maps.Collect(d.ListedRoles())
		for name, want := range theirs.meta {
			role, ok := strings.CutSuffix(name, Suffix)
			if !ok {
				require.NotContains(t, listed, name)
				continue
			}
			require.Equal(t, want.Version, listed[role])
			info, ok := d.Listed(role)
			require.True(t, ok)
			require.Equal(t, want.Version, info.Version)
			require.Equal(t, want.Length, info.Length)
			require.Len(t, info.Hashes, len(want.Hashes))
			for algorithm, digest := range want.Hashes {
				require.Equal(t, hex.EncodeToString(digest), info.Hashes[algorithm])
			}
		}
	})
}
