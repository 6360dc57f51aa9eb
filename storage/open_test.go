package storage_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
)

func TestOpenAsksTheDriverOfTheScheme(t *testing.T) {
	want := storage.NewMemory(storage.MemoryOptions{})
	var query url.Values
	var limit int64
	other := storage.Driver{Scheme: "other", Open: func(context.Context, *url.URL, int64) (storage.Store, error) {
		return nil, errors.New("wrong driver")
	}}
	test := storage.Driver{Scheme: "test", Open: func(_ context.Context, u *url.URL, l int64) (storage.Store, error) {
		query, limit = u.Query(), l
		return want, nil
	}}

	s, err := storage.Open(t.Context(), "test://host/path?a=b", other, test)
	require.NoError(t, err)
	assert.Same(t, want, s)
	assert.Equal(t, storage.DefaultLimit, limit)

	_, err = storage.Open(t.Context(), "test://host/path?a=b&limit=1000", other, test)
	require.NoError(t, err)
	assert.Equal(t, int64(1000), limit)
	assert.Equal(t, url.Values{"a": {"b"}}, query, "what the driver sees")
}

func TestOpenMemory(t *testing.T) {
	s, err := storage.Open(t.Context(), "mem://?limit=3")
	require.NoError(t, err)
	_, err = s.Create(t.Context(), "key", []byte("four"))
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "key")
	require.ErrorIs(t, err, storage.ErrTooLarge)
}

func TestOpenErrorsNameTheFaultAndShowNoSecret(t *testing.T) {
	file := storage.Driver{Scheme: "file"}
	for url, says := range map[string]string{
		"ftp://host/dir":           `unknown scheme "ftp": not one of file, mem`,
		"/var/lib/tuf":             "unknown scheme",
		"":                         "unknown scheme",
		"mem://?colour=red":        `unknown query parameter "colour"`,
		"mem://host":               "mem://",
		"mem://#fragment":          "form",
		"mem:opaque":               "form",
		"mem://?limit=many":        "limit",
		"mem://?limit=0":           "limit",
		"mem://?limit=-1":          "limit",
		"mem://?limit=":            "limit",
		"mem://?limit=1&limit=2":   `"limit" is given 2 times`,
		"mem://?a=hunter2%zz":      "query",
		"mem://user:hunter2@host":  "credentials",
		"mem://user:hun/ter2@host": "cannot be parsed",
		"mem://user:hunter2%zz@":   "cannot be parsed",
		"ftp://user:hunter2@host":  "unknown scheme",
		"mem://?password=hunter2":  `unknown query parameter "password"`,
	} {
		_, err := storage.Open(t.Context(), url, file)
		require.ErrorContains(t, err, says, url)
		assert.NotContains(t, err.Error(), "hun", url)
	}
}
