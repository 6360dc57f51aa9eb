package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"sync"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/filestore"
	"github.com/tufonline/tufonline/storage/s3store"
	"github.com/tufonline/tufonline/tufupdate"
)

const (
	workerEnv  = "TUF_TEST_WORKER" // makes the test's program a worker
	goroutines = 16                // of a worker
)

// TestMain runs the tests, or, in a process that one of them has started, does the job on standard
// input and reports on standard output.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) == "" {
		os.Exit(m.Run())
	}
	if err := work(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A job is what a worker does: each of its goroutines rolls the app so many times, or, if there are
// Apps, has tasks done for them until the worker is killed.
type job struct {
	Store string // URL
	Keys  string // folder
	App   string
	Root  []byte
	Rolls int
	Apps  []workedApp
	Seed  uint64 // of what is asked for
}

// A workedApp is an app and what may be asked for.
type workedApp struct {
	App   string
	Root  []byte
	Roles [][]string
}

// A report is what a worker says of one roll.
type report struct {
	Versions map[string]int64
	Warnings []string
	Seen     int64 // the version of the timestamp that the store held afterwards
}

// work does a job and writes a report of each roll. Any error is the end of it.
func work(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return err
	}
	store, closeStore, err := openStore(ctx, j.Store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	provider, err := keys.NewDir(j.Keys, keys.DirOptions{})
	if err != nil {
		return err
	}
	updater, err := tufupdate.New(tufupdate.Config{
		Store:  store,
		Keys:   provider,
		Roots:  j.root,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if len(j.Apps) > 0 {
		return workUntilKilled(ctx, updater, j, out)
	}

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var (
		rolling sync.WaitGroup
		mu      sync.Mutex
		encoder = json.NewEncoder(out)
	)
	for g := range goroutines {
		rolling.Go(func() {
			for i := range j.Rolls {
				r, err := rollOnce(ctx, updater, store, j.App, g+i)
				if err == nil {
					mu.Lock()
					err = encoder.Encode(r)
					mu.Unlock()
				}
				if err != nil {
					fail(fmt.Errorf("goroutine %d, roll %d: %w", g, i, err))
					return
				}
			}
		})
	}
	rolling.Wait()
	return context.Cause(ctx)
}

func (j job) root(_ context.Context, app string) ([]byte, error) {
	for _, a := range j.Apps {
		if a.App == app {
			return a.Root, nil
		}
	}
	return j.Root, nil
}

// rollOnce rolls the n-th choice of roles, and looks at what the store then holds.
func rollOnce(ctx context.Context, updater *tufupdate.Updater, store storage.Store, app string, n int) (report, error) {
	choices := [][]string{nil, {metadata.TIMESTAMP}, {metadata.SNAPSHOT}, {metadata.TARGETS}}
	result, err := updater.Roll(ctx, app, choices[n%len(choices)])
	if err != nil {
		return report{}, err
	}
	timestamp, err := store.Get(ctx, app+"/timestamp.json")
	if err != nil {
		return report{}, err
	}
	seen, err := versionOf(timestamp.Data)
	return report{result.Versions, result.Warnings, seen}, err
}

// openStore opens the store that the URL names. closeStore is never nil.
func openStore(ctx context.Context, url string) (store storage.Store, closeStore func() error, err error) {
	store, err = storage.Open(ctx, url, filestore.Driver(), s3store.Driver())
	if closer, ok := store.(io.Closer); ok {
		return store, closer.Close, err
	}
	return store, func() error { return nil }, err
}

// nameOf returns what a file's content never changes under: its key, of a timestamp with its
// version.
func nameOf(key string, file []byte) (string, error) {
	if path.Base(key) != "timestamp.json" {
		return key, nil
	}
	version, err := versionOf(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return fmt.Sprintf("%s version %d", key, version), nil
}

// versionOf returns the version of a metadata file.
func versionOf(file []byte) (int64, error) {
	var document struct {
		Signed struct{ Version int64 }
	}
	err := json.Unmarshal(file, &document)
	return document.Signed.Version, err
}
