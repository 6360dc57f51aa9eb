package repofiles_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
)

const app = "acme/desktop"

func mark(version int64, keys ...string) repofiles.Mark {
	m := repofiles.Mark{Version: version}
	for _, k := range keys {
		m.Keys = append(m.Keys, strings.Repeat(k, 64))
	}
	return m
}

func timestamps(marks ...repofiles.Mark) repofiles.Marks {
	return repofiles.Marks{Roles: map[string][]repofiles.Mark{tufmeta.Timestamp: marks}}
}

func TestMarksOutliveTheProcess(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	r := repofiles.NewRecord(store)
	m, err := r.Read(t.Context(), app)
	require.NoError(t, err)
	assert.True(t, m.Empty(), "a first look")

	written := timestamps(mark(4, "a"), mark(3, "b"))
	written.Root = mark(2, "c")
	require.NoError(t, r.Write(t.Context(), app, written))
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(3, "a"))), "nothing grew")
	m, err = repofiles.NewRecord(store).Read(t.Context(), app)
	require.NoError(t, err)
	assert.Equal(t, written, m)
	other, err := r.Read(t.Context(), "acme/mobile")
	require.NoError(t, err)
	assert.True(t, other.Empty())

	object, err := store.Get(t.Context(), app+".json")
	require.NoError(t, err)
	a, b, c, zero := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64), strings.Repeat("0", 64)
	assert.Equal(t, `{"format":1,"app":"acme/desktop","root":{"version":2,"sha256":"`+zero+`","keys":["`+c+`"]},`+
		`"roles":{"timestamp":[{"version":4,"sha256":"`+zero+`","keys":["`+a+`"]},`+
		`{"version":3,"sha256":"`+zero+`","keys":["`+b+`"]}]}}`, string(object.Data))
}

func TestAUsualWriteIsOneRequest(t *testing.T) {
	store := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), nil)
	r := repofiles.NewRecord(store)
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(1, "a"))))
	before := len(store.Calls())
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(2, "a"))))
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(2, "a"))))
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(1, "a"))))
	assert.Len(t, store.Calls()[before:], 1)
}

func TestWritersAtOnceLoseNothing(t *testing.T) {
	store := storage.NewMemory(storage.MemoryOptions{})
	var writing sync.WaitGroup
	const writers, rounds = 4, 10
	for i := range writers {
		r := repofiles.NewRecord(store)
		writing.Go(func() {
			for version := range int64(rounds) {
				assert.NoError(t, r.Write(t.Context(), app, timestamps(mark(version+1, string(rune('a'+i))))))
			}
		})
	}
	writing.Wait()
	m, err := repofiles.NewRecord(store).Read(t.Context(), app)
	require.NoError(t, err)
	assert.Equal(t, timestamps(mark(rounds, "a"), mark(rounds, "b"), mark(rounds, "c"), mark(rounds, "d")), m)
}

func TestAWriteWhoseAnswerWasLostIsRepeated(t *testing.T) {
	lost := errors.New("lost")
	store := storagetest.NewFlaky(storage.NewMemory(storage.MemoryOptions{}), func(c storagetest.Call) storagetest.Fault {
		if c.Write%2 == 1 || c.Verb == storagetest.Get && c.N%3 == 1 {
			return storagetest.Fault{After: lost}
		}
		return storagetest.Fault{}
	})
	r := repofiles.NewRecord(store)
	for version := range int64(5) {
		require.NoError(t, r.Write(t.Context(), app, timestamps(mark(version+1, "a"))))
	}
	m, err := r.Read(t.Context(), app)
	require.NoError(t, err)
	assert.Equal(t, timestamps(mark(5, "a")), m)
}

func TestMarksThatCannotBeReadAreAnErrorAndNoFirstLook(t *testing.T) {
	good := `{"format":1,"app":"acme/desktop","root":{"version":2,"sha256":"` + strings.Repeat("0", 64) + `","keys":["` +
		strings.Repeat("c", 64) + `"]}}`
	for name, data := range map[string]string{
		"empty":              "",
		"no JSON":            "x",
		"cut off":            good[:len(good)-1],
		"more":               good + "{}",
		"no format":          `{"app":"acme/desktop"}`,
		"a later format":     `{"format":2,"app":"acme/desktop","new":true}`,
		"another app's":      strings.Replace(good, "desktop", "mobile", 1),
		"unknown field":      strings.Replace(good, `"root"`, `"roots"`, 1),
		"a name twice":       strings.Replace(good, `"app"`, `"format":1,"app"`, 1),
		"version 0":          strings.Replace(good, `"version":2`, `"version":0`, 1),
		"short digest":       strings.Replace(good, `0000`, ``, 1),
		"capital digest":     strings.Replace(good, `cccc`, `CCCC`, 1),
		"no keys":            strings.Replace(good, `"`+strings.Repeat("c", 64)+`"`, ``, 1),
		"role without marks": strings.Replace(good, `"root"`, `"roles":{"timestamp":[]},"root"`, 1),
		"root among roles": strings.Replace(strings.Replace(good, `"root":`, `"roles":{"root":[`, 1), `]}}`,
			`]}]}}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, good, data)
			for _, deleter := range []bool{true, false} {
				store := storage.Store(storage.NewMemory(storage.MemoryOptions{}))
				if !deleter {
					store = onlyStore{store}
				}
				_, err := store.Create(t.Context(), app+".json", []byte(data))
				require.NoError(t, err)
				r := repofiles.NewRecord(store)
				_, err = r.Read(t.Context(), app)
				require.ErrorIs(t, err, repofiles.ErrUnreadable)
				require.ErrorContains(t, err, app+".json")
				require.ErrorIs(t, r.Write(t.Context(), app, timestamps(mark(1, "a"))), repofiles.ErrUnreadable)

				forgotten, err := r.Forget(t.Context(), app)
				require.NoError(t, err, "it can be forgotten")
				assert.NotNil(t, forgotten.Versions(), "there was something")
				assert.Empty(t, forgotten.Versions())
				m, err := r.Read(t.Context(), app)
				require.NoError(t, err)
				assert.True(t, m.Empty())
			}
		})
	}
}

func TestMarksThatCannotBeHadAreAnError(t *testing.T) {
	down := errors.New("down")
	failing := false
	memory := storage.NewMemory(storage.MemoryOptions{})
	store := storagetest.NewFlaky(memory, func(storagetest.Call) storagetest.Fault {
		if failing {
			return storagetest.Fault{Before: down}
		}
		return storagetest.Fault{}
	})
	r := repofiles.NewRecord(store)
	require.NoError(t, r.Write(t.Context(), app, timestamps(mark(1, "a"))))
	failing = true
	_, err := r.Read(t.Context(), app)
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, repofiles.ErrUnreadable)
	require.ErrorIs(t, r.Write(t.Context(), app, timestamps(mark(2, "a"))), down)
	_, err = r.Forget(t.Context(), app)
	require.ErrorIs(t, err, down)

	small := storage.NewMemory(storage.MemoryOptions{Limit: 10})
	require.NoError(t, repofiles.NewRecord(small).Write(t.Context(), app, timestamps(mark(1, "a"))))
	_, err = repofiles.NewRecord(small).Read(t.Context(), app)
	require.ErrorIs(t, err, repofiles.ErrUnreadable)
	require.ErrorIs(t, err, storage.ErrTooLarge)
}

// onlyStore has no optional interfaces.
type onlyStore struct{ storage.Store }

func TestWhatIsForgottenIsForgottenByAllProcesses(t *testing.T) {
	for name, store := range map[string]storage.Store{
		"with a Deleter": storage.NewMemory(storage.MemoryOptions{}),
		"without one":    onlyStore{storage.NewMemory(storage.MemoryOptions{})},
		"in the process": nil,
	} {
		t.Run(name, func(t *testing.T) {
			one := repofiles.NewRecord(store)
			other := one
			if store != nil {
				other = repofiles.NewRecord(store)
			}
			require.NoError(t, one.Write(t.Context(), app, timestamps(mark(9, "a"))))
			_, err := other.Read(t.Context(), app)
			require.NoError(t, err)

			forgotten, err := one.Forget(t.Context(), app)
			require.NoError(t, err)
			assert.Equal(t, timestamps(mark(9, "a")), forgotten)
			forgotten, err = one.Forget(t.Context(), app)
			require.NoError(t, err)
			assert.Nil(t, forgotten.Versions())
			m, err := other.Read(t.Context(), app)
			require.NoError(t, err)
			assert.True(t, m.Empty())

			require.NoError(t, one.Write(t.Context(), app, timestamps(mark(10, "a"))))
			_, err = other.Read(t.Context(), app)
			require.NoError(t, err)
			_, err = one.Forget(t.Context(), app)
			require.NoError(t, err)
			require.NoError(t, other.Write(t.Context(), app, timestamps(mark(2, "b"))))
			m, err = one.Read(t.Context(), app)
			require.NoError(t, err)
			assert.Equal(t, timestamps(mark(2, "b")), m, "a process that knew more does not bring it back")
		})
	}
}

func TestARecordWaitsNoLongerThanItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := repofiles.NewRecord(nil)
	_, err := r.Read(ctx, app)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, r.Write(ctx, app, timestamps(mark(1, "a"))), context.Canceled)
}
