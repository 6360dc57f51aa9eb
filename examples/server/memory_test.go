package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
)

func TestTheMemoryIsTheTaskDatabaseUnlessAFlagSaysOtherwise(t *testing.T) {
	for _, c := range []struct{ memory, tasks, want string }{
		{"", memTasks, noMemory},
		{"", "sqlite:///x/tasks.db", "sqlite:///x/tasks.db"},
		{"", "postgres://u:hush@h/d", "postgres://u:hush@h/d"},
		{"", "postgresql://h/d", "postgresql://h/d"},
		{"none", "sqlite:///x/tasks.db", noMemory},
		{"file:///x", "sqlite:///x/tasks.db", "file:///x"},
	} {
		assert.Equal(t, c.want, memoryURL(c.memory, c.tasks))
	}
}

// openTestMemory opens the memory of a server whose store is a folder, and returns what was logged.
func openTestMemory(t *testing.T, memory, tasks, storeDir string) (storage.Store, string, error) {
	t.Helper()
	store, err := filestore.New(storeDir, filestore.Options{CreateDir: true})
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	var log bytes.Buffer
	opened, err := openMemory(t.Context(), options{memory: memory, tasks: tasks}, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { assert.NoError(t, closeIfCloser(opened)) })
	if err == nil {
		err = checkApart(memoryURL(memory, tasks), opened, "file://"+storeDir, store)
	}
	return opened, log.String(), err
}

func TestTheServerSaysWhichMemoryItHas(t *testing.T) {
	dir := t.TempDir()
	store, tasks := filepath.Join(dir, "store"), "sqlite://"+filepath.Join(dir, "tasks.db")
	memory, log, err := openTestMemory(t, "", tasks, store)
	require.NoError(t, err)
	assert.NotNil(t, memory)
	assert.Contains(t, log, "memory: in the task database")

	for _, flag := range []string{"", "none"} {
		memory, log, err = openTestMemory(t, flag, memTasks, store)
		require.NoError(t, err)
		assert.Nil(t, memory)
		assert.Contains(t, log, "level=WARN")
		assert.Contains(t, log, "put back an earlier state")
	}

	memory, log, err = openTestMemory(t, "file://"+filepath.Join(dir, "memory")+"?create_dir=true", tasks, store)
	require.NoError(t, err)
	assert.NotNil(t, memory)
	assert.Contains(t, log, "memory: as -memory says")
}

// Whoever can write to the store must not be able to write to the memory.
func TestAMemoryInTheStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "a", "store")
	require.NoError(t, os.MkdirAll(filepath.Join(store, "acme"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "store-2"), 0o700))
	require.NoError(t, os.Symlink(store, filepath.Join(dir, "link")))
	for place, refused := range map[string]bool{
		"file://" + store:                                          true,
		"file://" + filepath.Join(store, "acme"):                   true,
		"file://" + filepath.Join(store, "new?create_dir=true"):    true,
		"file://" + filepath.Join(dir, "a"):                        true,
		"file://" + filepath.Join(dir, "link", "acme"):             true,
		"sqlite://" + filepath.Join(store, "acme", "memory.db"):    true,
		"sqlite://" + filepath.Join(dir, "link", "memory.db"):      true,
		"file://" + filepath.Join(dir, "a", "store-2"):             false,
		"sqlite://" + filepath.Join(dir, "a", "memory.db"):         false,
		"file://" + filepath.Join(dir, "other?create_dir=true"):    false,
		"sqlite://" + filepath.Join(dir, "a", "store-2", "mem.db"): false,
	} {
		_, _, err := openTestMemory(t, place, memTasks, store)
		if !refused {
			require.NoError(t, err, place)
			continue
		}
		require.ErrorIs(t, err, errNotApart, place)
	}

	memory := storage.NewMemory(storage.MemoryOptions{})
	require.ErrorIs(t, checkApart("s3://b?prefix=m/", memory, "s3://b?prefix=tuf/", memory), errNotApart)
	require.NoError(t, checkApart("s3://b", memory, "s3://c", memory))
}

func TestAMemoryThatDoesNotOutliveTheServerIsRefused(t *testing.T) {
	_, _, err := openTestMemory(t, "mem://", memTasks, t.TempDir())
	require.ErrorContains(t, err, "-memory none")
	_, _, err = openTestMemory(t, "postgres://u:hush@127.0.0.1:1/x", memTasks, t.TempDir())
	require.ErrorContains(t, err, "memory: ")
	assert.NotContains(t, err.Error(), "hush")
}

func TestForgetPrintsWhatWasRemembered(t *testing.T) {
	dir := t.TempDir()
	place := "sqlite://" + filepath.Join(dir, "tasks.db")
	forget := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"forget"}, args...), nothing, &out, io.Discard)
		return out.String(), err
	}
	_, err := forget("-memory", place, "acme/desktop")
	require.ErrorContains(t, err, "no such file", "a wrong path creates no file")
	_, err = forget("acme/desktop")
	require.ErrorContains(t, err, "there is no memory")
	_, err = forget("-memory", place)
	require.ErrorContains(t, err, "takes one app")
	_, err = forget("-help")
	require.NoError(t, err)

	memory, err := openMemoryURL(t.Context(), place)
	require.NoError(t, err)
	const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	_, err = memory.Create(t.Context(), "acme/desktop.json", []byte(`{"format":1,"app":"acme/desktop",`+
		`"root":{"version":2,"sha256":"`+digest+`","keys":["`+digest+`"]},`+
		`"roles":{"timestamp":[{"version":41,"sha256":"`+digest+`","keys":["`+digest+`"]}]}}`))
	require.NoError(t, err)
	require.NoError(t, closeIfCloser(memory))

	out, err := forget("-tasks", place, "acme/desktop")
	require.NoError(t, err)
	assert.Equal(t, "acme/desktop: forgotten: root 2\nacme/desktop: forgotten: timestamp 41\n", out)
	out, err = forget("-memory", place, "acme/desktop")
	require.NoError(t, err)
	assert.Equal(t, "acme/desktop: no version was remembered\n", out)
	_, err = forget("-memory", place, "../acme")
	require.ErrorContains(t, err, "invalid app name")
}
