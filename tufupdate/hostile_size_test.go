package tufupdate_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A delegation says which roles a document delegates to: to all with one key.
type delegation struct {
	key   *testrepo.Key
	roles []string
}

// targetsFile returns the document of a targets role, in canonical form, signed by a key.
func targetsFile(t *testing.T, key *testrepo.Key, version int64, d *delegation) []byte {
	t.Helper()
	delegations := ""
	if d != nil {
		public, ok := d.key.Private.Public().(ed25519.PublicKey)
		require.True(t, ok)
		roles := make([]string, len(d.roles))
		for i, name := range d.roles {
			roles[i] = fmt.Sprintf(`{"keyids":["%s"],"name":"%s","paths":["*"],"terminating":false,"threshold":1}`, d.key.ID,
				name)
		}
		delegations = fmt.Sprintf(`"delegations":{"keys":{"%s":{"keytype":"ed25519","keyval":{"public":"%x"},"scheme":"ed25519"}},"roles":[%s]},`,
			d.key.ID, []byte(public), strings.Join(roles, ","))
	}
	return signText(t, key, fmt.Sprintf(
		`{"_type":"targets",%s"expires":"2099-01-01T00:00:00Z","spec_version":"1.0.31","targets":{},"version":%d}`,
		delegations, version))
}

// signText signs a text that is in canonical form.
func signText(t *testing.T, key *testrepo.Key, signed string) []byte {
	t.Helper()
	sig, err := key.Private.Sign(nil, []byte(signed), crypto.Hash(0))
	require.NoError(t, err)
	return fmt.Appendf(nil, `{"signatures":[{"keyid":"%s","sig":"%s"}],"signed":%s}`, key.ID, hex.EncodeToString(sig),
		signed)
}

// many returns n texts of a format with a number in it, separated by commas.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func names(n int) []string { return strings.Split(many(n, "d%07d"), ",") }

// A measure is what a roll took.
type measure struct {
	allocated uint64 // bytes
	reads     int64
}

// measured rolls and says what that took. It must not run in parallel with other tests.
func measured(t *testing.T, repo *testrepo.Repo, provider *testrepo.Provider, roles ...string) (tasks.Result, measure,
	error) {
	t.Helper()
	store := &countingReads{Store: repo.Store}
	u := newUpdater(t, repo, provider, func(c *tufupdate.Config) { c.Store = store })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	result, err := u.Roll(t.Context(), repo.App, roles)
	runtime.ReadMemStats(&after)
	return result, measure{after.TotalAlloc - before.TotalAlloc, store.reads.Load()}, err
}

type countingReads struct {
	storage.Store
	reads atomic.Int64
}

// Unwrap is for storage.As.
func (s *countingReads) Unwrap() storage.Store { return s.Store }

func (s *countingReads) Get(ctx context.Context, key string) (storage.Object, error) {
	s.reads.Add(1)
	return s.Store.Get(ctx, key)
}

const mib = 1 << 20

// Documents that are made to cost much, uploaded by the holder of an offline role: the roll goes on
// without them. It allocates, in all, no more than a multiple of the document's size, and reads
// nothing for it but the document and what the document delegates to.
func TestExpensiveUploadsStopNothing(t *testing.T) {
	base := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: nested[:1]})
	v := newVictim(t, base, &tally{}, "team a")
	key := base.Keys["team a"][0]
	head, tail := `{"_type":"targets",`, `"expires":"2099-01-01T00:00:00Z","spec_version":"1.0.31","targets":{},"version":2}`
	n := 70_000 // more than there may be bins
	if soak() {
		n = 1_000_000
	}
	for _, test := range []struct {
		name    string
		data    []byte
		warning string // "" if the document is accepted
		times   uint64 // the size, that may be allocated
		reads   int64
	}{
		{"delegations", targetsFile(t, key, 2, &delegation{key, names(n)}), "delegates to", 24, 20},
		{"signatures", []byte(`{"signatures":[` + many(n/3, `{"keyid":"%07d","sig":"00"}`) + `],"signed":` + head + tail +
			`}`),
			"too few valid signatures", 40, 20},
		{"keys", signText(t, key, head+`"delegations":{"keys":{`+
			many(n/3, `"%07d":{"keytype":"","keyval":{"public":"x"},"scheme":""}`)+`},"roles":[]},`+tail), "keytype", 80, 20},
		{"2^32 succinct bins", signText(t, key,
			head+`"delegations":{"keys":{"k":{"keytype":"ed25519","keyval":{"public":"`+strings.Repeat("00", 32)+`"},"scheme":"ed25519"}},`+
				`"succinct_roles":`+
				`{"bit_length":32,"keyids":["k"],"name_prefix":"b","threshold":1}},`+tail), "delegates to 4294967296 roles", 40, 20},
		{"nested 100,000 deep", signText(t, key, head+`"custom":`+strings.Repeat("[", 100_000)+strings.Repeat("]",
			100_000)+","+tail),
			"nested more than", 10, 20},
		{"nested without an end", []byte(strings.Repeat(`{"signed":`, 100_000)), "nested more than", 10, 20},
		{"a number of 10^6 digits", signText(t, key, head+`"custom":`+strings.Repeat("9", 1_000_000)+","+tail), "number", 10,
			20},
		{"1,000 delegations to roles that are not there", targetsFile(t, key, 2, &delegation{key, names(1_000)}),
			"delegated role d", 100, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := base.Copy(t)
			provider := repo.Provider(t, "team a")
			_, err := repo.Store.Create(t.Context(), repo.File("team a", 2), test.data)
			require.NoError(t, err)
			result, took, err := measured(t, repo, provider)
			require.NoError(t, err)
			if test.warning == "" {
				assert.Empty(t, result.Warnings)
			} else if assert.Len(t, result.Warnings, 1) {
				assert.Contains(t, result.Warnings[0], "version 2 of role team a")
				assert.Contains(t, result.Warnings[0], test.warning)
				assert.Less(t, len(result.Warnings[0]), 1000, "a warning is for people")
			}
			assert.Less(t, took.allocated, test.times*uint64(len(test.data))+4*mib)
			assert.LessOrEqual(t, took.reads, test.reads)
			require.NoError(t, v.client.Copy(t, repo.Store).Refresh())
			t.Logf("%.1f MiB: %.1f MiB allocated (%.1f times as much), %d reads", float64(len(test.data))/mib,
				float64(took.allocated)/mib,
				float64(took.allocated)/float64(len(test.data)), took.reads)
		})
	}
}

// The same in the place of a file that has to be trusted.
func TestExpensiveFilesAreRefusedCheaply(t *testing.T) {
	base := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Hashes: true})
	for name, data := range map[string][]byte{
		"signatures":         []byte(`{"signatures":[` + many(20_000, `{"keyid":"%07d","sig":"00"}`) + `],"signed":{}}`),
		"arrays in arrays":   []byte(strings.Repeat(`[`, 100_000)),
		"objects in objects": []byte(strings.Repeat(`{"signed":`, 100_000)),
		"files listed": []byte(`{"signatures":[],"signed":{"_type":"snapshot","expires":"2099-01-01T00:00:00Z","meta":{` +
			many(20_000, `"%07d.json":{"version":1}`) + `,"targets.json":{"version":1}},"spec_version":"1.0.31","version":1}}`),
	} {
		for file, role := range map[string]string{base.File("timestamp", 0): "timestamp",
			base.File("snapshot", 1): "snapshot",
			base.File("targets", 1):  "targets", base.File("root", 2): "root"} {
			t.Run(role+" "+name, func(t *testing.T) {
				repo := base.Copy(t)
				repo.Overwrite(t, file, data)
				provider := repo.Provider(t)
				_, took, err := measured(t, repo, provider, "targets")
				assert.Less(t, took.allocated, 40*uint64(len(data))+4*mib)
				if role == "timestamp" { // another one takes its place
					require.NoError(t, err)
					return
				}
				blames(t, file, err, name)
				assert.Zero(t, provider.Signatures())
				assert.Less(t, len(err.Error()), 1000, "an error is for people")
			})
		}
	}
}

// A holder of an offline role builds what he likes below it. A roll takes it in, or goes on without
// it, and clients follow.
func TestWhatADelegatedHolderBuilds(t *testing.T) {
	base := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Delegation: []testrepo.Delegation{
		{Name: "a", Paths: []string{"b/*"}}, {Name: "b", Paths: []string{"b/*"}, Target: "b/file"}}})
	v := newVictim(t, base, &tally{}, "a", "b")
	keyA, keyB := base.Keys["a"][0], base.Keys["b"][0]
	key, other := testrepo.NewKey(t, testrepo.Ed25519), testrepo.NewKey(t, testrepo.Ed25519)
	to := func(k *testrepo.Key, roles ...string) *delegation { return &delegation{k, roles} }
	type uploads map[string][]byte
	chain := func(end bool) uploads {
		all := uploads{"2.a": targetsFile(t, keyA, 2, to(key, "c0"))}
		for i := range 1000 {
			d := to(key, fmt.Sprintf("c%d", i+1))
			if i == 999 && end {
				d = nil
			}
			all[fmt.Sprintf("1.c%d", i)] = targetsFile(t, key, 1, d)
		}
		return all
	}
	for _, test := range []struct {
		name     string
		uploads  uploads
		warnings int
		listed   map[string]int64 // afterwards
	}{
		{"a chain 1,000 deep", chain(true), 1, map[string]int64{"a": 1, "c0": 0}},
		{"a chain 1,000 deep that leads nowhere", chain(false), 1, map[string]int64{"a": 1, "c0": 0}},
		{"a role below itself", uploads{"2.a": targetsFile(t, keyA, 2, to(keyA, "a"))}, 0, map[string]int64{"a": 2}},
		{"two roles below each other", uploads{"2.a": targetsFile(t, keyA, 2, to(keyB, "b")),
			"2.b": targetsFile(t, keyB, 2, to(keyA, "a"))},
			0, map[string]int64{"a": 2, "b": 2}},
		{"a cycle of three new ones", uploads{"2.a": targetsFile(t, keyA, 2, to(key, "x")),
			"1.x": targetsFile(t, key, 1, to(key, "y")),
			"1.y": targetsFile(t, key, 1, to(key, "z")), "1.z": targetsFile(t, key, 1,
				to(key, "x"))}, 0, map[string]int64{"a": 2, "x": 1, "z": 1}},
		{"a diamond", uploads{"2.a": targetsFile(t, keyA, 2, to(key, "c")), "2.b": targetsFile(t, keyB, 2, to(key, "c")),
			"1.c": targetsFile(t, key, 1, nil)}, 0, map[string]int64{"a": 2, "b": 2, "c": 1}},
		{"a diamond with different keys", uploads{"2.a": targetsFile(t, keyA, 2, to(key, "c")),
			"2.b": targetsFile(t, keyB, 2, to(other, "c")),
			"1.c": targetsFile(t, key, 1, nil)}, 1, map[string]int64{"a": 2, "b": 1, "c": 1}},
		{"another holder's role, with a key of his own", uploads{"2.a": targetsFile(t, keyA, 2, to(key, "b")),
			"2.b": targetsFile(t, key, 2, nil)}, 1, map[string]int64{"a": 2, "b": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := base.Copy(t)
			size := 0
			for name, data := range test.uploads {
				_, err := repo.Store.Create(t.Context(), repo.App+"/"+name+".json", data)
				require.NoError(t, err)
				size += len(data)
			}
			result, took, err := measured(t, repo, repo.Provider(t, "a", "b"))
			require.NoError(t, err)
			assert.Len(t, result.Warnings, test.warnings)
			client := v.client.Copy(t, repo.Store)
			got := versions(t, client)
			for role, version := range test.listed {
				assert.Equal(t, version, got[role], role)
			}
			if test.listed["a"] == 1 && test.listed["b"] == 1 {
				_, err := client.Target("b/file")
				assert.NoError(t, err, "what was there before can be had")
			}
			assert.Less(t, took.allocated, 40*uint64(size)+4*mib)
			assert.LessOrEqual(t, took.reads, int64(30+4*len(test.uploads)))
			t.Logf("%.2f MiB: %.1f MiB allocated, %d reads, %d warnings", float64(size)/mib, float64(took.allocated)/mib,
				took.reads, len(result.Warnings))
		})
	}
}
