package storagetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

func missing(t *testing.T, backend Backend) {
	s := single(t, backend)
	holdsNothing(t, s, "app/1.root.json")

	create(t, s, "app/1.root.json", []byte("root"))
	holdsNothing(t, s, "app/2.root.json")
	holdsNothing(t, s, "app/1.root.jso")
	holdsNothing(t, s, "another/1.root.json")
}

func roundTrip(t *testing.T, backend Backend) {
	open := backend(t, 0)
	one, other := open(), open()

	created := create(t, one, "app/1.root.json", []byte("root"))
	assert.Equal(t, created, holds(t, one, "app/1.root.json", []byte("root")), "version of the write and of the read")
	assert.Equal(t, created, holds(t, other, "app/1.root.json", []byte("root")), "version by another handle")

	first := replace(t, other, "app/timestamp.json", storage.Absent, []byte("timestamp 1"))
	second := replace(t, one, "app/timestamp.json", first, []byte("timestamp 2"))
	assert.Equal(t, second, holds(t, other, "app/timestamp.json", []byte("timestamp 2")))
}

func createOnce(t *testing.T, backend Backend) {
	s := single(t, backend)
	version := create(t, s, "app/1.snapshot.json", []byte("first"))

	for _, other := range []string{"other", "", "first and more", "firs"} {
		_, err := s.Create(t.Context(), "app/1.snapshot.json", []byte(other))
		require.ErrorIs(t, err, storage.ErrExists, "create with %q", other)
	}
	assert.Equal(t, version, holds(t, s, "app/1.snapshot.json", []byte("first")))
}

func replaceGiven(t *testing.T, backend Backend) {
	s := single(t, backend)
	const key = "app/timestamp.json"
	first := replace(t, s, key, storage.Absent, []byte("1"))
	second := replace(t, s, key, first, []byte("2"))
	assert.NotEqual(t, first, second, "other bytes have another version")

	_, err := s.Replace(t.Context(), key, first, []byte("3"))
	require.ErrorIs(t, err, storage.ErrConflict, "replace of a version that is gone")
	_, err = s.Replace(t.Context(), key, storage.Absent, []byte("3"))
	require.ErrorIs(t, err, storage.ErrConflict, "replace of nothing, where something is")
	_, err = s.Replace(t.Context(), "app/other.json", second, []byte("3"))
	require.ErrorIs(t, err, storage.ErrConflict, "replace of something, where nothing is")

	holdsNothing(t, s, "app/other.json")
	read := holds(t, s, key, []byte("2"))
	assert.Equal(t, second, read)
	replace(t, s, key, read, []byte("3"))
	holds(t, s, key, []byte("3"))
}

func replaceAbsent(t *testing.T, backend Backend) {
	s := single(t, backend)
	version := replace(t, s, "app/timestamp.json", storage.Absent, []byte("1"))
	assert.Equal(t, version, holds(t, s, "app/timestamp.json", []byte("1")))

	_, err := s.Create(t.Context(), "app/timestamp.json", []byte("2"))
	require.ErrorIs(t, err, storage.ErrExists)
}

// lostAnswer loses the answer to every first write.
func lostAnswer(t *testing.T, backend Backend) {
	lost := errors.New("connection reset")
	s := NewFlaky(single(t, backend), func(c Call) Fault {
		if c.Write%2 == 1 {
			return Fault{After: lost}
		}
		return Fault{}
	})
	_, err := s.Create(t.Context(), "app/1.root.json", []byte("root"))
	require.ErrorIs(t, err, lost)
	created := create(t, s, "app/1.root.json", []byte("root"))
	assert.Equal(t, created, holds(t, s, "app/1.root.json", []byte("root")))

	_, err = s.Replace(t.Context(), "app/timestamp.json", storage.Absent, []byte("1"))
	require.ErrorIs(t, err, lost)
	first := replace(t, s, "app/timestamp.json", storage.Absent, []byte("1"))

	_, err = s.Replace(t.Context(), "app/timestamp.json", first, []byte("2"))
	require.ErrorIs(t, err, lost)
	second := replace(t, s, "app/timestamp.json", first, []byte("2"))
	assert.Equal(t, second, holds(t, s, "app/timestamp.json", []byte("2")))
}

func goodKeys(t *testing.T, backend Backend) {
	s := single(t, backend)
	keys := []string{
		"a", "acme/desktop/1.root.json", ".hidden", "a..b", "..a", "...", "up../down", "with space", "plus+plus", "100%",
		"%2e%2e", "a%2Fb",
		"~", "#?&=", "'quotes\"", "<tag>", "a:b", "{braces}", "-dash", "Zürich", "日本語", "emoji-🔑",
		"metadata.json.json",
		strings.Repeat("k", 200),
		strings.Repeat(strings.Repeat("d", 99)+"/", 8) + "deep", // short enough for a prefix to fit before it
	}
	for _, key := range keys {
		_, err := s.Create(t.Context(), key, []byte(key))
		require.NoError(t, err, "create %q", key)
	}
	for _, key := range keys {
		object, err := s.Get(t.Context(), key)
		require.NoError(t, err, "get %q", key)
		require.Equal(t, key, string(object.Data))
	}
	if l, ok := storage.As[storage.Lister](s); ok {
		listed, err := l.List(t.Context(), "")
		require.NoError(t, err)
		require.ElementsMatch(t, keys, listed)
	}
}

func badKeys(t *testing.T, backend Backend) {
	s := single(t, backend)
	create(t, s, "a/x", []byte("data"))
	for name, key := range map[string]string{
		"empty":              "",
		"absolute":           "/a/x",
		"folder":             "a/",
		"root":               "/",
		"empty segment":      "a//x",
		"current folder":     "./a",
		"current, inside":    "a/./x",
		"current, last":      "a/.",
		"parent":             "..",
		"outside":            "../x",
		"far outside":        "../../../../etc/passwd",
		"outside and back":   "a/../a/x",
		"outside, in depth":  "a/../../x",
		"parent, last":       "a/..",
		"backslash":          `a\x`,
		"backslash, outside": `..\x`,
		"NUL":                "a/x\x00",
		"newline":            "a/x\n",
		"escape":             "a/\x1b[2J",
		"C1 control":         "a/\u0085",
		"not UTF-8":          "a/\xff",
		"half a surrogate":   "a/\xed\xa0\x80",
		"too long":           strings.Repeat("k/", 512) + "k",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Get(t.Context(), key)
			require.ErrorIs(t, err, storage.ErrInvalidKey, "get")
			_, err = s.Create(t.Context(), key, []byte("data"))
			require.ErrorIs(t, err, storage.ErrInvalidKey, "create")
			_, err = s.Replace(t.Context(), key, storage.Absent, []byte("data"))
			require.ErrorIs(t, err, storage.ErrInvalidKey, "replace")
			if d, ok := storage.As[storage.Deleter](s); ok {
				require.ErrorIs(t, d.Delete(t.Context(), key), storage.ErrInvalidKey, "delete")
			}
		})
	}
	holds(t, s, "a/x", []byte("data"))
}

// folders creates an object whose key is a folder of another. A store without folders takes it. Any
// other store refuses it as an object that exists, so that the caller tries the next number.
func folders(t *testing.T, backend Backend) {
	s := single(t, backend)
	create(t, s, "app/3.snapshot.json/x", []byte("first"))
	version, err := s.Create(t.Context(), "app/3.snapshot.json", []byte("second"))
	if err == nil {
		assert.Equal(t, version, holds(t, s, "app/3.snapshot.json", []byte("second")))
	} else {
		require.ErrorIs(t, err, storage.ErrExists)
		_, err = s.Get(t.Context(), "app/3.snapshot.json")
		require.Error(t, err)
	}
	holds(t, s, "app/3.snapshot.json/x", []byte("first"))
}

func sizes(t *testing.T, backend Backend) {
	s := single(t, backend)
	large := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16+1)
	for name, data := range map[string][]byte{"nil": nil, "empty": {}, "one": {0}, "large": large} {
		created := create(t, s, "create/"+name, data)
		assert.Equal(t, created, holds(t, s, "create/"+name, data))

		first := replace(t, s, "replace/"+name, storage.Absent, data)
		second := replace(t, s, "replace/"+name, first, []byte("small"))
		replace(t, s, "replace/"+name, second, data)
		holds(t, s, "replace/"+name, data)
	}
	_, err := s.Create(t.Context(), "create/nil", []byte("x"))
	require.ErrorIs(t, err, storage.ErrExists, "an empty object is an object")
}

func limits(t *testing.T, backend Backend) {
	s := backend(t, 1000)()
	fits, over := bytes.Repeat([]byte("x"), 1000), bytes.Repeat([]byte("x"), 1001)
	create(t, s, "fits", fits)
	holds(t, s, "fits", fits)

	create(t, s, "over", over)
	object, err := s.Get(t.Context(), "over")
	require.ErrorIs(t, err, storage.ErrTooLarge)
	require.Empty(t, object.Data)

	create(t, s, "over", over) // writes compare what is there whatever its size
	_, err = s.Create(t.Context(), "over", fits)
	require.ErrorIs(t, err, storage.ErrExists)
	_, err = s.Replace(t.Context(), "over", storage.Absent, fits)
	require.ErrorIs(t, err, storage.ErrConflict)
}

func ownership(t *testing.T, backend Backend) {
	s := single(t, backend)
	data := []byte("created")
	create(t, s, "created", data)
	clear(data)
	holds(t, s, "created", []byte("created"))

	data = []byte("replaced")
	replace(t, s, "replaced", storage.Absent, data)
	clear(data)
	holds(t, s, "replaced", []byte("replaced"))

	object, err := s.Get(t.Context(), "created")
	require.NoError(t, err)
	clear(object.Data)
	holds(t, s, "created", []byte("created"))
}

func deleting(t *testing.T, backend Backend) {
	s := single(t, backend)
	d, ok := storage.As[storage.Deleter](s)
	if !ok {
		t.Skip("the store is no storage.Deleter")
	}
	version := create(t, s, "app/1.root.json", []byte("root"))
	create(t, s, "app/2.root.json", []byte("next root"))
	require.NoError(t, d.Delete(t.Context(), "app/1.root.json"))
	holdsNothing(t, s, "app/1.root.json")
	holds(t, s, "app/2.root.json", []byte("next root"))

	require.NoError(t, d.Delete(t.Context(), "app/1.root.json"), "again")
	require.NoError(t, d.Delete(t.Context(), "never/was"))

	_, err := s.Replace(t.Context(), "app/1.root.json", version, []byte("other"))
	require.ErrorIs(t, err, storage.ErrConflict, "a version that was deleted cannot be replaced")
	create(t, s, "app/1.root.json", []byte("other"))
	holds(t, s, "app/1.root.json", []byte("other"))
}

func listing(t *testing.T, backend Backend) {
	s := single(t, backend)
	l, ok := storage.As[storage.Lister](s)
	if !ok {
		t.Skip("the store is no storage.Lister")
	}
	keys := []string{"a", "app-2/1.root.json", "app/1.root.json", "app/10.root.json", "app/2.root.json",
		"app/sub/timestamp.json", "b/x"}
	for _, key := range slices.Backward(keys) {
		create(t, s, key, []byte(key))
	}
	for prefix, want := range map[string][]string{
		"":          keys,
		"a":         keys[:6],
		"app":       keys[1:6],
		"app/":      keys[2:6],
		"app/1":     keys[2:4],
		"app/sub":   keys[5:6],
		"b/x":       keys[6:],
		"b/x/":      nil,
		"c":         nil,
		"none/here": nil,
		"/":         nil,
		"../":       nil,
	} {
		listed, err := l.List(t.Context(), prefix)
		require.NoError(t, err, "list %q", prefix)
		assert.Equal(t, want, append([]string(nil), listed...), "list %q", prefix)
	}
}

func ended(t *testing.T, backend Backend) {
	s := single(t, backend)
	version := create(t, s, "there", []byte("data"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := s.Get(ctx, "there")
	require.ErrorIs(t, err, context.Canceled, "get")
	_, err = s.Create(ctx, "created", []byte("data"))
	require.ErrorIs(t, err, context.Canceled, "create")
	_, err = s.Replace(ctx, "there", version, []byte("other"))
	require.ErrorIs(t, err, context.Canceled, "replace")
	if d, ok := storage.As[storage.Deleter](s); ok {
		require.ErrorIs(t, d.Delete(ctx, "there"), context.Canceled, "delete")
	}
	if l, ok := storage.As[storage.Lister](s); ok {
		_, err = l.List(ctx, "")
		require.ErrorIs(t, err, context.Canceled, "list")
	}
	holdsNothing(t, s, "created")
	holds(t, s, "there", []byte("data"))

	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	_, err = s.Get(late, "there")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func probed(t *testing.T, backend Backend) {
	s := single(t, backend)
	require.NoError(t, storage.Probe(t.Context(), s, storage.ProbeOptions{Prefix: "scratch/"}))
	_, canDelete := storage.As[storage.Deleter](s)
	if l, ok := storage.As[storage.Lister](s); ok && canDelete {
		left, err := l.List(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, left, "what a probe left behind")
	}
}
