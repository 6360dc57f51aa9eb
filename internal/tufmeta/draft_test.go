package tufmeta_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
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
	next, err := draft.Sign(t.Context(), role, []tufmeta.Signer{{Key: role.Keys[0], Signer: o}})
	require.NoError(t, err)
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
func TestAnyLayoutIsKept(t *testing.T) {
	o := newOnline(t)
	const body = `{ "x-first" : {"z":1,"a":"\u00fc\/"},
	"version":7, "targets" :{ }, "_type":"targets" ,"expires" : "2030-01-01T00:00:00Z","spec_version":"1.0"}`
	for name, layout := range map[string]string{
		"signatures first":  plainLayout,
		"signatures last":   "\n{ \"signed\" : BODY ,\r\n\"signatures\":[ SIGS\n] , \"x-more\": [] }\n",
		"more in between":   `{"signed":BODY,"x":{"signed":{"version":1}},"signatures":[{"keyid":"z","sig":""},SIGS]}`,
		"members in a turn": `{"zz":null,"signed":BODY,"a":1,"signatures":[SIGS]}`,
	} {
		v := o.document(t, "targets", layout, body)
		next := o.next(t, v, tufmeta.Change{Version: 12, Expires: expires})
		want := strings.Replace(string(v.Bytes()), `"version":7`, `"version":12`, 1)
		want = strings.Replace(want, "2030-01-01T00:00:00Z", "2041-02-03T03:05:06Z", 1)
		sigs := regexp.MustCompile(`\[[^\[\]]*"sig"[^\[\]]*\]`)
		assert.Equal(t, sigs.ReplaceAllString(want, ""), sigs.ReplaceAllString(string(next.Bytes()), ""), name)
		o.next(t, next, tufmeta.Change{Version: 13, Expires: expires})
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

// TUF checklist 7.
func TestFilesAreListedInTheFormThatTheyHad(t *testing.T) {
	o := newOnline(t)
	file := o.document(t, "targets", plainLayout,
		`{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":9}`)
	length := len(file.Bytes())
	for entry, want := range map[string]string{
		`{"version":1}`:               `{"version":9}`,
		`{ "version" : 1 }`:           `{ "version" : 9 }`,
		`{"length":5,"version":1}`:    fmt.Sprintf(`{"length":%d,"version":9}`, length),
		`{"x":[1],"version":1,"a":2}`: `{"x":[1],"version":9,"a":2}`,
	} {
		v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":`+entry))
		next := o.next(t, v, tufmeta.Change{Version: 2, Expires: expires,
			List: map[string]*tufmeta.Document{"targets": file.Document}})
		assert.Equal(t, want, meta(t, next)["targets.json"])
	}
	v := o.document(t, "snapshot", plainLayout,
		snapshotBody(`"targets.json":{"hashes":{"sha512":"00","sha256":"00"},"version":1}`))
	next := o.next(t, v, tufmeta.Change{Version: 2, Expires: expires,
		List: map[string]*tufmeta.Document{"targets": file.Document}})
	info, ok := next.Listed("targets")
	require.True(t, ok)
	assert.Len(t, info.Hashes, 2)
	require.NoError(t, info.Check(file.Document))

	v = o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":{"hashes":{"md5":"00"},"version":1}`))
	_, err := v.Next(tufmeta.Change{Version: 2, Expires: expires,
		List: map[string]*tufmeta.Document{"targets": file.Document}})
	require.ErrorContains(t, err, `unsupported hash algorithm "md5"`)
}

// TUF specification 4.4: length and hashes are optional, but what has to be told from another file
// of that version needs them.
func TestLengthAndHashAreListedOnDemand(t *testing.T) {
	o := newOnline(t)
	file := o.document(t, "targets", plainLayout,
		`{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":9}`)
	for _, entry := range []string{
		`"targets.json":{"version":1}`, `"targets.json":{ "length" : 3 ,"version":1}`,
		`"targets.json":{"hashes":{"sha512":"00"},"version":1}`,
		`"targets.json":{"x":1,"version":1}`, "\"targets.json\": {\n  \"version\": 1\n }",
	} {
		v := o.document(t, "snapshot", plainLayout, snapshotBody(entry))
		next := o.next(t, v, tufmeta.Change{
			Version: 2, Expires: expires, List: map[string]*tufmeta.Document{"targets": file.Document, "new": file.Document},
			Pin: map[string]bool{"targets": true, "new": true},
		})
		for _, role := range []string{"targets", "new"} {
			info, ok := next.Listed(role)
			require.True(t, ok, entry)
			assert.Len(t, info.Hashes, 1, entry)
			assert.EqualValues(t, len(file.Bytes()), info.Length, entry)
			require.NoError(t, info.Check(file.Document))
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
		snapshotBody("\n  \"m.json\" : {\n   \"version\": 3\n  },\n  \"targets.json\" : {\n   \"version\": 1\n  }\n "),
		snapshotBody(`"targets.json":{"version":1,"x":1}`),
	} {
		v := o.document(t, "snapshot", plainLayout, body)
		list := map[string]*tufmeta.Document{}
		for _, name := range []string{"a", "b", "targets", "n", "z", "zz", `q"uote`, "ü"} {
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
		if strings.Contains(body, "\n") {
			assert.Contains(t, string(next.Bytes()), "\n  \"zz.json\" : {\n   \"version\": 9\n  }",
				"in the layout of the others")
		}
		o.next(t, next, tufmeta.Change{Version: 3, Expires: expires})
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

// A liar is a signer with something wrong.
type liar struct {
	public crypto.PublicKey
	answer func(message []byte) ([]byte, error)
	signed int
}

func (l *liar) Public(context.Context) (crypto.PublicKey, error) { return l.public, nil }

func (l *liar) Sign(_ context.Context, message []byte) ([]byte, error) {
	l.signed++
	return l.answer(message)
}

func TestWhatASignerReturnsIsChecked(t *testing.T) {
	o := newOnline(t)
	v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":{"version":1}`))
	role := v.Role()
	other := newOnline(t)
	own := o.private.Public()
	others := func(m []byte) ([]byte, error) { return other.sign(m), nil }
	elsewhere := func([]byte) ([]byte, error) { return o.sign([]byte("x")), nil }
	for name, test := range map[string]struct {
		signer *liar
		want   string
		signs  int
	}{
		"another public key": {&liar{public: other.private.Public()}, "another public key than is declared", 0},
		"no public key":      {&liar{}, "another public key than is declared", 0},
		"another key's":      {&liar{public: own, answer: others}, "signature is not the key's", 1},
		"of something else":  {&liar{public: own, answer: elsewhere}, "signature is not the key's", 1},
		"nothing": {&liar{public: own, answer: func([]byte) ([]byte, error) { return nil, nil }},
			"signature is not the key's", 1},
		"an error, with a cause": {&liar{public: own, answer: func([]byte) ([]byte, error) { return nil, io.ErrClosedPipe }},
			io.ErrClosedPipe.Error(), 1},
	} {
		draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
		require.NoError(t, err)
		_, err = draft.Sign(t.Context(), role, []tufmeta.Signer{{Key: role.Keys[0], Signer: test.signer}})
		require.ErrorContains(t, err, test.want, name)
		require.ErrorContains(t, err, "key a", name)
		assert.Equal(t, test.signs, test.signer.signed, name)
	}
	draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
	require.NoError(t, err)
	_, err = draft.Sign(t.Context(), role, nil)
	require.ErrorIs(t, err, tufmeta.ErrThreshold)
	_, err = draft.Sign(t.Context(), o.role["targets"], nil)
	require.ErrorContains(t, err, "signs documents of type targets, not snapshot")
}

func TestASignerThatHangsIsLeft(t *testing.T) {
	o := newOnline(t)
	v := o.document(t, "snapshot", plainLayout, snapshotBody(`"targets.json":{"version":1}`))
	draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
	require.NoError(t, err)
	hang := make(chan struct{})
	defer close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	signer := &liar{public: o.private.Public(), answer: func([]byte) ([]byte, error) {
		cancel()
		<-hang
		return nil, nil
	}}
	_, err = draft.Sign(ctx, v.Role(), []tufmeta.Signer{{Key: v.Role().Keys[0], Signer: signer}})
	require.ErrorIs(t, err, context.Canceled)
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
		if _, err := draft.Sign(b.Context(), v.Role(), signers); err != nil {
			b.Fatal(err)
		}
	}
}
