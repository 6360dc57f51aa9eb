package tasks_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

// driver returns a driver for two schemes. It opens store, unless the URL has the host "down".
func driver(store tasks.Store) tasks.Driver {
	return tasks.Driver{Schemes: []string{"one", "two"}, Open: func(_ context.Context, u *url.URL) (tasks.Store, error) {
		if u.Host == "down" {
			return nil, errors.New("no answer")
		}
		return store, nil
	}}
}

func TestOpenFindsTheDriverOfAScheme(t *testing.T) {
	want := tasks.NewMemory(tasks.MemoryOptions{})
	for _, url := range []string{"one://host/tasks", "two://", "ONE://host"} {
		got, err := tasks.Open(t.Context(), url, driver(want))
		require.NoError(t, err)
		assert.Same(t, want, got)
	}
	got, err := tasks.Open(t.Context(), "mem://", driver(want))
	require.NoError(t, err)
	assert.IsType(t, want, got)
	assert.NotSame(t, want, got)
}

func TestOpenRefusesURLsWithoutAStore(t *testing.T) {
	for url, want := range map[string]string{
		"":                     `unknown scheme "": not one of one, two, mem`,
		"/var/lib/tasks":       `unknown scheme ""`,
		"three://u:hush@host":  `unknown scheme "three": not one of one, two, mem`,
		"one://u:hush@down":    "task store one: no answer",
		"one://u:hush@[::1/db": "cannot be parsed",
		"one://u:hush@h/%zz":   "cannot be parsed",
		"mem://tasks":          "write mem://",
		"mem:///tasks":         "write mem://",
		"mem://?limit=1":       "write mem://",
		"mem://u:hush@":        "write mem://",
	} {
		got, err := tasks.Open(t.Context(), url, driver(nil))
		require.ErrorContains(t, err, want, url)
		assert.NotContains(t, err.Error(), "hush")
		assert.Nil(t, got)
	}
}
