package tufmeta_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// An online key is one role's for all documents of these tests.
type online struct {
	testKey
	private ed25519.PrivateKey
	role    map[string]*tufmeta.Role
}

func newOnline(t testing.TB) *online {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	o := &online{private: private, testKey: testKey{
		"a", declare("ed25519", "ed25519", hex.EncodeToString(public)), func(m []byte) []byte {
			return ed25519.Sign(private,
				m)
		},
	}}
	root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, o.testKey), o.testKey)))
	require.NoError(t, err)
	o.role = root.Roles
	return o
}

// Public and Sign are the methods of a tufmeta.MessageSigner.
func (o *online) Public(context.Context) (crypto.PublicKey, error) { return o.private.Public(), nil }

func (o *online) Sign(_ context.Context, message []byte) ([]byte, error) { return o.sign(message), nil }

// document signs the text of a signed object, and puts it into a file of that layout. SIGS stands
// for the signatures.
func (o *online) document(t testing.TB, role, layout, body string) *tufmeta.Verified {
	t.Helper()
	canonical, err := cjson.EncodeCanonical(json.RawMessage(body))
	require.NoError(t, err)
	sigs := fmt.Sprintf(`{"keyid":"a","sig":"%x"}`, o.sign(canonical))
	file := strings.NewReplacer("SIGS", sigs, "BODY", body).Replace(layout)
	v, err := o.role[role].Verify(parse(t, []byte(file)))
	require.NoError(t, err)
	return v
}

const plainLayout = `{"signatures":[SIGS],"signed":BODY}`

// next signs the successor and requires that what was signed is what the field's library makes of
// the file.
func (o *online) next(t testing.TB, v *tufmeta.Verified, c tufmeta.Change) *tufmeta.Verified {
	t.Helper()
	draft, err := v.Next(c)
	require.NoError(t, err)
	role := v.Role()
	next, problems, err := draft.Sign(t.Context(), role, []tufmeta.Signer{{Key: role.Keys[0], Signer: o}})
	require.NoError(t, err)
	require.Empty(t, problems)
	var file struct {
		Signed     json.RawMessage
		Signatures []struct{ KeyID, Sig string }
	}
	require.NoError(t, json.Unmarshal(next.Bytes(), &file))
	canonical, err := cjson.EncodeCanonical(file.Signed)
	require.NoError(t, err)
	require.Len(t, file.Signatures, 1)
	sig, err := hex.DecodeString(file.Signatures[0].Sig)
	require.NoError(t, err)
	require.True(t, ed25519.Verify(o.private.Public().(ed25519.PublicKey), canonical, sig))
	require.Equal(t, c.Version, next.Version())
	return next
}

var expires = time.Date(2041, 2, 3, 4, 5, 6, 789, time.FixedZone("", 3600))

// TUF checklist 1 and 5.
func TestWhatIsSignedHasOneFormAndKeepsAllValues(t *testing.T) {
	o := newOnline(t)
	const body = `{ "x-first" : {"z":1,"a":"\u00fc\/\u0000\n\u001f\u007f\u2028\ufeff\ud83d\ude00e\u0301\"\\"},
	"version":7, "targets" :{ }, "_type":"targets" ,"expires" : "2030-01-01T00:00:00Z","spec_version":"1.0"}`
	const want = `"signed":{"_type":"targets","expires":"2041-02-03T03:05:06Z","spec_version":"1.0","targets":{},` +
		`"version":12,"x-first":{"a":"ü/\u0000\u000a\u001f` + "\u007f\u2028\ufeff😀e\u0301" + `\"\\","z":1}}}`
	for name, layout := range map[string]string{
		"signatures first":  plainLayout,
		"signatures last":   "\n{ \"signed\" : BODY ,\r\n\"signatures\":[ SIGS\n] , \"x-more\": [] }\n",
		"more in between":   `{"signed":BODY,"x":{"signed":{"version":1}},"signatures":[{"keyid":"z","sig":""},SIGS]}`,
		"members in a turn": `{"zz":null,"signed":BODY,"a":1,"signatures":[SIGS]}`,
		"in another case":   `{"signed":BODY,"signatures":[SIGS],"Signatures":[]}`,
		"padded":            `{"signed":BODY,"signatures":[SIGS` + strings.Repeat(" ", 20_000) + `]}`,
	} {
		v := o.document(t, "targets", layout, body)
		next := o.next(t, v, tufmeta.Change{Version: 12, Expires: expires})
		sig := regexp.MustCompile(`^\{"signatures":\[\{"keyid":"a","sig":"[0-9a-f]{128}"\}\],`)
		require.Regexp(t, sig, string(next.Bytes()), name)
		assert.Equal(t, want, sig.ReplaceAllString(string(next.Bytes()), ""), name)
		again := o.next(t, next, tufmeta.Change{Version: 13, Expires: expires})
		assert.Len(t, again.Bytes(), len(next.Bytes()))
	}
}

func snapshotBody(meta string) string {
	return `{"_type":"snapshot","expires":"2030-01-01T00:00:00Z","meta":{` + meta + `},"spec_version":"1.0","version":1}`
}

// meta returns the entries of a snapshot, as text, by the name of the file.
func meta(t testing.TB, v *tufmeta.Verified) map[string]string {
	t.Helper()
	var file struct {
		Signed struct{ Meta map[string]json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(v.Bytes(), &file))
	entries := map[string]string{}
	for name, entry := range file.Signed.Meta {
		entries[name] = string(entry)
	}
	return entries
}

const targetsBody = `{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":9}`

// TUF checklist 7. Specification 4.4: length and hashes are optional, but what has to be told from
// another file of that version needs them.
func TestFilesAreListedInTheFormThatTheyHad(t *testing.T) {
	o := newOnline(t)
	file := o.document(t, "targets", plainLayout, targetsBody)
	sums := map[string]string{}
	for name, h := range map[string]crypto.Hash{
		"sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	} {
		hash := h.New()
		hash.Write(file.Bytes())
		sums[name] = fmt.Sprintf(`"%s":"%x"`, name, hash.Sum(nil))
	}
	length := fmt.Sprintf(`"length":%d,`, len(file.Bytes()))
	pinned := `{"hashes":{` + sums["sha256"] + `},` + length + `"version":9`
	for _, test := range []struct{ before, after, pinned string }{
		{`{"version":1}`, `{"version":9}`, pinned + `}`},
		{`{ "version" : 1 }`, `{"version":9}`, pinned + `}`},
		{`{"length":5,"version":1}`, `{` + length + `"version":9}`, pinned + `}`},
		{`{"x":[1],"version":1,"a":2}`, `{"a":2,"version":9,"x":[1]}`, `{"a":2,` + pinned[1:] + `,"x":[1]}`},
		{`{"hashes":{"sha512":"00","sha384":"00"},"version":1}`,
			`{"hashes":{` + sums["sha384"] + `,` + sums["sha512"] + `},"version":9}`,
			`{"hashes":{` + sums["sha256"] + `,` + sums["sha384"] + `,` + sums["sha512"] + `},` + length + `"version":9}`},
		// A hash that cannot be computed would be a stale one.
		{`{"hashes":{"md5":"00","sha224":"00"},"version":1}`, `{"hashes":{` + sums["sha224"] + `},"version":9}`,
			`{"hashes":{` + sums["sha224"] + `,` + sums["sha256"] + `},` + length + `"version":9}`},
		{`{"hashes":{"blake3":"00"},"length":1,"version":1}`, `{` + length + `"version":9}`, pinned + `}`},
		{`{"hashes":{},"version":1}`, `{"version":9}`, pinned + `}`}, // python-tuf reads no empty ones
	} {
		v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":`+test.before))
		for pin, want := range map[bool]string{false: test.after, true: test.pinned} {
			next := o.next(t, v, tufmeta.Change{
				Version: 2, Expires: expires, List: map[string]*tufmeta.Document{"targets": file.Document},
				Pin: map[string]bool{"targets": pin},
			})
			assert.Equal(t, want, meta(t, next)["targets.json"], "%s, pinned: %v", test.before, pin)
			info, _ := next.Listed("targets")
			require.NoError(t, info.Check(file.Document))
		}
	}
}

func TestWhatIsListedIsChecked(t *testing.T) {
	o := newOnline(t)
	file := o.document(t, "targets", plainLayout, targetsBody)
	length := int64(len(file.Bytes()))
	sum := fmt.Sprintf("%x", sha512.Sum384(file.Bytes()))
	hashes := func(pairs ...string) map[string]string {
		return map[string]string{pairs[0]: pairs[1], pairs[2]: pairs[3]}
	}
	for want, info := range map[string]tufmeta.FileInfo{
		"":                         {Version: 9},
		" ":                        {Version: 9, Length: length, Hashes: hashes("blake3", "00", "sha384", sum)},
		"  ":                       {Version: 9, Hashes: hashes("blake3", "00", "sha384", sum)},
		"   ":                      {Version: 9, Length: length, Hashes: map[string]string{"blake3": "00"}},
		"has version 9 where 8":    {Version: 8},
		"bytes where 1 are listed": {Version: 9, Length: 1},
		"has sha384":               {Version: 9, Hashes: hashes("blake3", "00", "sha384", "00")},
		`hash algorithm "blake3"`:  {Version: 9, Hashes: map[string]string{"blake3": "00"}},
		"where 00 is listed":       {Version: 9, Length: length, Hashes: hashes("sha256", "00", "sha384", sum)},
	} {
		err := info.Check(file.Document)
		if strings.TrimSpace(want) == "" {
			assert.NoError(t, err, "%v", info)
		} else {
			assert.ErrorContains(t, err, want)
		}
	}
}

func TestNewFilesAreListedWhereTheyBelong(t *testing.T) {
	o := newOnline(t)
	file := o.document(t, "targets", plainLayout,
		`{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":9}`)
	for _, body := range []string{
		snapshotBody(`"targets.json":{"version":1}`),
		snapshotBody(`"m.json":{"version":3},"targets.json":{"version":1}`),
		snapshotBody(`"targets.json":{"version":1},"m.json":{"version":3}`),
		snapshotBody(`"targets.json":{"version":1,"x":1}`),
	} {
		v := o.document(t, "snapshot", plainLayout, body)
		list := map[string]*tufmeta.Document{}
		for _, name := range []string{"a", "b", "targets", "n", "n.a", "n-a", "z", "zz", `q"uote`, "ü"} {
			list[name] = file.Document
		}
		next := o.next(t, v, tufmeta.Change{Version: 2, Expires: expires, List: list})
		for name := range list {
			info, ok := next.Listed(name)
			require.True(t, ok, name)
			assert.EqualValues(t, 9, info.Version, name)
		}
		if strings.Contains(body, "m.json") {
			info, _ := next.Listed("m")
			assert.EqualValues(t, 3, info.Version, "what is not listed anew stays")
		}
		o.next(t, next, tufmeta.Change{Version: 3, Expires: expires})
	}
}

func TestATimestampOrSnapshotIsDraftedFromNothing(t *testing.T) {
	o := newOnline(t)
	targets := o.document(t, "targets", plainLayout, targetsBody).Document
	sign := func(draft *tufmeta.Draft, kind string) *tufmeta.Verified {
		v, problems, err := draft.Sign(t.Context(), o.role[kind], []tufmeta.Signer{{Key: o.role[kind].Keys[0], Signer: o}})
		require.NoError(t, err)
		require.Empty(t, problems)
		_, err = o.role[kind].Verify(parse(t, v.Bytes()))
		require.NoError(t, err)
		return v
	}
	draft, err := tufmeta.New("snapshot", targets.SpecVersion(), tufmeta.Change{
		Version: 5, Expires: expires, List: map[string]*tufmeta.Document{"targets": targets, "a.b": targets},
		Pin: map[string]bool{"targets": true},
	})
	require.NoError(t, err)
	snapshot := sign(draft, "snapshot")
	sum := fmt.Sprintf("%x", sha256.Sum256(targets.Bytes()))
	assert.Regexp(t, `\],"signed":{"_type":"snapshot","expires":"2041-02-03T03:05:06Z","meta":{"a.b.json":{"version":9},`+
		`"targets.json":{"hashes":{"sha256":"`+sum+`"},"length":`+fmt.Sprint(len(targets.Bytes()))+
		`,"version":9}},"spec_version":"1.0","version":5}}$`, string(snapshot.Bytes()))
	draft, err = tufmeta.New("timestamp", "1.0.31", tufmeta.Change{
		Version: tufmeta.MaxVersion, Expires: expires, List: map[string]*tufmeta.Document{"snapshot": snapshot.Document},
	})
	require.NoError(t, err)
	timestamp := sign(draft, "timestamp")
	assert.Equal(t, map[string]string{"snapshot.json": `{"version":5}`}, meta(t, timestamp))
	assert.Equal(t, "1.0.31", timestamp.SpecVersion())

	for want, from := range map[string]struct {
		kind, spec string
		version    int64
	}{
		"is not made from nothing": {"targets", "1.0", 1},
		"version 0 is not":         {"snapshot", "1.0", 0},
		"neither 1.N nor":          {"snapshot", "1", 1},
		"not list snapshot.json":   {"timestamp", "1.0", 1},
	} {
		_, err := tufmeta.New(from.kind, from.spec, tufmeta.Change{Version: from.version})
		require.ErrorContains(t, err, want)
	}
}

// What clients fetch at most when no length is listed.
func TestTheLengthIsListedWhereClientsNeedIt(t *testing.T) {
	o := newOnline(t)
	for size, listed := range map[int]bool{4_000_000: false, 5_100_000: true} {
		body := `{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":9,"x":"` +
			strings.Repeat("x", size) + `"}`
		file := o.document(t, "targets", plainLayout, body)
		for _, entry := range []string{`{"version":1}`, `{ "x": 1, "version": 1, "a": 1 }`} {
			v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":`+entry))
			next := o.next(t, v, tufmeta.Change{Version: 2, Expires: expires,
				List: map[string]*tufmeta.Document{"targets": file.Document}})
			info, _ := next.Listed("targets")
			if listed {
				assert.EqualValues(t, len(file.Bytes()), info.Length)
			} else {
				assert.Zero(t, info.Length)
			}
		}
	}
}

func TestVersionsGrow(t *testing.T) {
	o := newOnline(t)
	v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":{"version":1}`))
	for _, version := range []int64{-1, 0, 1, tufmeta.MaxVersion + 1} {
		_, err := v.Next(tufmeta.Change{Version: version, Expires: expires})
		require.ErrorContains(t, err, "cannot follow", version)
	}
	next := o.next(t, v, tufmeta.Change{Version: tufmeta.MaxVersion, Expires: expires})
	assert.True(t, next.Repeats(v.Document))
	for _, other := range []string{snapshotBody(`"targets.json":{"version":2}`),
		snapshotBody(`"a.json":{"version":1},"targets.json":{"version":1}`)} {
		assert.False(t, next.Repeats(o.document(t, "snapshot", plainLayout, other).Document))
	}
}

// What a roll of targets costs beside its reads and writes: 100,000 target files, 13 MB.
func BenchmarkSign(b *testing.B) {
	o := newOnline(b)
	var targets strings.Builder
	for i := range 100_000 {
		if i > 0 {
			targets.WriteByte(',')
		}
		fmt.Fprintf(&targets, `"path/to/target-%08d":{"hashes":{"sha256":"%064x"},"length":%d}`, i, i, i)
	}
	v := o.document(b, "targets", plainLayout, `{"_type":"targets","expires":"2030-01-01T00:00:00Z",`+
		`"spec_version":"1.0","targets":{`+targets.String()+`},"version":1}`)
	signers := []tufmeta.Signer{{Key: v.Role().Keys[0], Signer: o}}
	b.SetBytes(int64(len(v.Bytes())))
	b.ReportAllocs()
	for b.Loop() {
		draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := draft.Sign(b.Context(), v.Role(), signers); err != nil {
			b.Fatal(err)
		}
	}
}
