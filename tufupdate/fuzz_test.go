package tufupdate_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
)

// What happens to a file of a repository, by the remainder of the fuzzer's number.
const (
	putOver    = iota // bytes take the place of as many others
	putBetween        // bytes are inserted
	cut               // the rest is gone
	swap              // it has the content of another file
	putAhead          // its content, with bytes over it, lies there as the next version too
	mutations
)

// FuzzRoll changes a file of a repository, whose signature may then be made anew by the right keys,
// as a broken or malicious tool would. If a roll succeeds all the same, all that it signed follows
// from files that go-tuf trusts, and a client that starts with the pinned root accepts the result.
// If not, nothing has changed.
func FuzzRoll(f *testing.F) {
	var repos []*testrepo.Repo
	for _, o := range []testrepo.Options{
		{Hashes: true, Delegation: nested},
		{Unknown: true, Pretty: true, Succinct: 1},
		{Inconsistent: true, Threshold: map[string]int{"targets": 2, "snapshot": 2}},
	} {
		repo := testrepo.New(f, storage.NewMemory(storage.MemoryOptions{}), o)
		roll(f, newUpdater(f, repo, repo.Provider(f)), repo)
		repos = append(repos, repo)
	}
	for repo := range repos {
		for file := range 6 {
			for mutation := range mutations {
				f.Add(uint8(repo), uint8(file), uint8(mutation), uint16(40*file), []byte(`,"x":1`), mutation == putBetween)
			}
		}
	}
	for _, text := range []string{`null`, `-1`, `1e3`, `"version":18446744073709551616`, `{"":{}}`, "\x00",
		`"threshold":0`, `"keyids":[]`} {
		f.Add(uint8(0), uint8(3), uint8(putOver), uint16(120), []byte(text), true)
	}
	f.Fuzz(func(t *testing.T, number, file, mutation uint8, at uint16, text []byte, resign bool) {
		synctest.Test(t, func(t *testing.T) {
			repo := repos[int(number)%len(repos)].Copy(t)
			mutate(t, repo, int(file), int(mutation)%mutations, int(at), text, resign)
			before := files(t, repo)
			provider := repo.Provider(t)
			result, err := newUpdater(t, repo, provider).Roll(t.Context(), repo.App, nil)
			after := files(t, repo)
			if err != nil {
				assert.Equal(t, before, after, "%v", err)
				return
			}
			sameVersionsSameBytes(t, repo, before, after, "")
			require.NoError(t, newClient(t, repo).Refresh())
			if n := len(result.Warnings); n > 0 && strings.Contains(result.Warnings[n-1], "a new one takes its place") {
				return // what does not count is not followed
			}
			for role, version := range result.Versions {
				follows(t, repo, role, before, after[repo.File(role, version)])
			}
		})
	})
}

// mutate changes one metadata file.
func mutate(t *testing.T, repo *testrepo.Repo, file, mutation, at int, text []byte, resign bool) {
	all := files(t, repo)
	var names []string
	for name := range all {
		if strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	name := names[file%len(names)]
	data := []byte(all[name])
	at %= len(data)
	switch mutation {
	case putOver, putAhead:
		data = slices.Concat(data[:at], text, data[min(len(data), at+len(text)):])
	case putBetween:
		data = slices.Insert(data, at, text...)
	case cut:
		data = data[:at]
	case swap:
		data = []byte(all[names[(file+at)%len(names)]])
	}
	role := strings.TrimSuffix(strings.TrimPrefix(name, repo.App+"/"), ".json")
	if version, rest, ok := strings.Cut(role, "."); ok && strings.Trim(version, "0123456789") == "" {
		role = rest
	}
	if resign {
		data = signAnew(data, repo.Keys[role])
	}
	if mutation == putAhead {
		if name = repo.File(role, versionOf(t, all[name])+1); all[name] != "" {
			return // without consistent snapshots
		}
		_, err := repo.Store.Create(t.Context(), name, data)
		require.NoError(t, err)
		return
	}
	repo.Overwrite(t, name, data)
}

// signAnew returns a document with signatures that are right, if it can be read at all.
func signAnew(document []byte, keys []*testrepo.Key) []byte {
	var md map[string]json.RawMessage
	if json.Unmarshal(document, &md) != nil {
		return document
	}
	decoder := json.NewDecoder(bytes.NewReader(md["signed"]))
	decoder.UseNumber()
	var signed any
	if decoder.Decode(&signed) != nil {
		return document
	}
	canonical, err := cjson.EncodeCanonical(signed)
	if err != nil {
		return document
	}
	var sigs []map[string]string
	for _, k := range keys {
		sig, err := k.Private.Sign(nil, canonical, crypto.Hash(0))
		if err != nil {
			return document
		}
		sigs = append(sigs, map[string]string{"keyid": k.ID, "sig": hex.EncodeToString(sig)})
	}
	if md["signatures"], err = json.Marshal(sigs); err != nil {
		return document
	}
	again, err := json.Marshal(md)
	if err != nil {
		return document
	}
	return again
}

// follows requires that a document follows from one of the files that its role had, which go-tuf
// trusts: but for version, expiry and the files listed it says the same.
func follows(t *testing.T, repo *testrepo.Repo, role string, before map[string]string, document string) {
	t.Helper()
	said := says(t, document)
	for name, data := range before {
		if !strings.HasSuffix(name, "/"+role+".json") && !strings.HasSuffix(name, "."+role+".json") {
			continue
		}
		if goTufTrusts(repo, role, []byte(data)) && assert.ObjectsAreEqual(said, says(t, data)) {
			return
		}
	}
	assert.Fail(t, "it follows from nothing that go-tuf trusts", "%s: %s", role, document)
}

// says returns what a document says, without what a roll changes.
func says(t *testing.T, document string) map[string]any {
	t.Helper()
	var md struct{ Signed map[string]any }
	require.NoError(t, json.Unmarshal([]byte(document), &md))
	delete(md.Signed, "version")
	delete(md.Signed, "expires")
	delete(md.Signed, "meta")
	return md.Signed
}

// goTufTrusts reports whether go-tuf accepts the signatures of a top-level role's document.
func goTufTrusts(repo *testrepo.Repo, role string, data []byte) (trusts bool) {
	defer func() { _ = recover() }() // there is input that it panics on; that is no trust
	root, err := metadata.Root().FromBytes(repo.Root)
	if err != nil {
		return false
	}
	var document any
	switch role {
	case metadata.TIMESTAMP:
		document, err = metadata.Timestamp().FromBytes(data)
	case metadata.SNAPSHOT:
		document, err = metadata.Snapshot().FromBytes(data)
	case metadata.TARGETS:
		document, err = metadata.Targets().FromBytes(data)
	default:
		err = fmt.Errorf("no top-level role: %s", role)
	}
	return err == nil && root.VerifyDelegate(role, document) == nil
}
