package tufmeta_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

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
		_, _, err = draft.Sign(t.Context(), role, []tufmeta.Signer{{Key: role.Keys[0], Signer: test.signer}})
		require.ErrorContains(t, err, test.want, name)
		require.ErrorContains(t, err, "key a", name)
		assert.Equal(t, test.signs, test.signer.signed, name)
	}
	draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
	require.NoError(t, err)
	_, _, err = draft.Sign(t.Context(), role, nil)
	require.ErrorIs(t, err, tufmeta.ErrThreshold)
	_, _, err = draft.Sign(t.Context(), o.role["targets"], nil)
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
	_, _, err = draft.Sign(ctx, v.Role(), []tufmeta.Signer{{Key: v.Role().Keys[0], Signer: signer}})
	require.ErrorIs(t, err, context.Canceled)
}

// several are online keys of one role of root.
func several(t testing.TB, threshold int, ids ...string) ([]*online, *tufmeta.Role, *tufmeta.Verified) {
	t.Helper()
	var all []*online
	var declared []testKey
	for _, id := range ids {
		o := newOnline(t)
		o.id = id
		all = append(all, o)
		declared = append(declared, o.testKey)
	}
	root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, threshold, declared...), declared...)))
	require.NoError(t, err)
	role := root.Roles["snapshot"]
	v, err := role.Verify(parse(t, signed(t, object{"_type": "snapshot", "spec_version": "1.0", "version": 1,
		"expires": "2040-01-01T00:00:00Z", "meta": object{"targets.json": object{"version": 1}}}, declared...)))
	require.NoError(t, err)
	return all, role, v
}

func TestASignerBeyondTheThresholdMayFail(t *testing.T) {
	all, role, v := several(t, 2, "a", "b", `c"`)
	broken := &liar{public: all[1].private.Public(), answer: func([]byte) ([]byte, error) { return nil, io.ErrClosedPipe }}
	panics := &liar{public: all[1].private.Public(), answer: func([]byte) ([]byte, error) { panic("no session") }}
	for want, b := range map[string]*liar{"key b: signing: io: read/write on closed pipe": broken,
		"key b: panic: no session": panics} {
		draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
		require.NoError(t, err)
		next, problems, err := draft.Sign(t.Context(), role, []tufmeta.Signer{
			{Key: role.Keys[0], Signer: all[0]}, {Key: role.Keys[1], Signer: b}, {Key: role.Keys[2], Signer: all[2]},
		})
		require.NoError(t, err)
		require.Len(t, problems, 1)
		require.EqualError(t, problems[0], want)
		assert.Len(t, role.SignedBy(next.Document), 2)
		assert.Contains(t, string(next.Bytes()), `{"keyid":"c\"","sig":"`)
		again, err := role.Verify(parse(t, next.Bytes()))
		require.NoError(t, err)
		assert.Equal(t, role.SignedBy(next.Document), role.SignedBy(again.Document))

		_, _, err = draft.Sign(t.Context(), role, []tufmeta.Signer{
			{Key: role.Keys[0], Signer: all[0]}, {Key: role.Keys[1], Signer: b},
		})
		require.EqualError(t, err, want, "now it is needed")
	}
	draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
	require.NoError(t, err)
	twice := tufmeta.Signer{Key: role.Keys[0], Signer: all[0]}
	_, _, err = draft.Sign(t.Context(), role, []tufmeta.Signer{twice, twice, {Key: role.Keys[1], Signer: all[1]}})
	require.ErrorContains(t, err, "key a: not one of role snapshot, or there twice")
}

// It is waited for as long again as the others took, and a second.
func TestASignerBeyondTheThresholdMayHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, role, v := several(t, 1, "a", "b", "c")
		sign := func(took, other time.Duration) (*tufmeta.Verified, []error, time.Duration) {
			slow := func(o *online, d time.Duration) *liar {
				return &liar{public: o.private.Public(), answer: func(m []byte) ([]byte, error) {
					time.Sleep(d)
					return o.sign(m), nil
				}}
			}
			draft, err := v.Next(tufmeta.Change{Version: 2, Expires: expires})
			require.NoError(t, err)
			began := time.Now()
			next, problems, err := draft.Sign(t.Context(), role, []tufmeta.Signer{
				{Key: role.Keys[0], Signer: slow(all[0], time.Hour)}, {Key: role.Keys[1], Signer: slow(all[1], took)},
				{Key: role.Keys[2], Signer: slow(all[2], other)},
			})
			require.NoError(t, err)
			return next, problems, time.Since(began)
		}
		next, problems, took := sign(3*time.Second, 6*time.Second)
		require.Len(t, problems, 1)
		require.ErrorContains(t, problems[0], "key a: no answer")
		assert.Len(t, role.SignedBy(next.Document), 2)
		assert.Equal(t, 7*time.Second, took)

		next, problems, took = sign(0, 2*time.Second)
		require.Len(t, problems, 2)
		assert.Len(t, role.SignedBy(next.Document), 1)
		assert.Equal(t, time.Second, took)
		time.Sleep(time.Hour) // until the last of them has returned
	})
}

// Room for signatures is left before they are there.
func TestLongSignaturesAndIDsFindTheirPlace(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 4096)
	require.NoError(t, err)
	sign := func(m []byte) ([]byte, error) {
		sum := sha256.Sum256(m)
		return rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
	}
	declared := declare("rsa", "rsassa-pss-sha256", pkix(t, &private.PublicKey))
	key := testKey{strings.Repeat(`"`, 1000), declared, func(m []byte) []byte {
		sig, err := sign(m)
		require.NoError(t, err)
		return sig
	}}
	root, err := tufmeta.ParseRoot(parse(t, signed(t, rootOf(1, 1, key), key)))
	require.NoError(t, err)
	role := root.Roles["snapshot"]
	for _, text := range []string{"", "control \n"} {
		v, err := role.Verify(parse(t, signed(t, object{"_type": "snapshot", "spec_version": "1.0", "version": 1, "x": text,
			"expires": "2040-01-01T00:00:00Z", "meta": object{"targets.json": object{"version": 1}}}, key)))
		require.NoError(t, err)
		for version := range int64(3) {
			draft, err := v.Next(tufmeta.Change{Version: 2 + version, Expires: expires})
			require.NoError(t, err)
			signer := &liar{public: private.Public(), answer: sign}
			v, _, err = draft.Sign(t.Context(), role, []tufmeta.Signer{{Key: role.Keys[0], Signer: signer}})
			require.NoError(t, err)
			again, err := role.Verify(parse(t, v.Bytes()))
			require.NoError(t, err)
			require.Equal(t, 2+version, again.Version())
		}
	}
}
