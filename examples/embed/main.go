// Command embed shows the library in one screen. It makes a repository in memory, rolls its online
// roles, and follows with a client.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tufupdate"
)

const app = "acme/desktop"

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	// Packages below storage have other stores, package keys has other key providers.
	store, provider := storage.NewMemory(storage.MemoryOptions{}), keys.NewMemory()

	// The repository is like one that another tool made. The provider holds its online keys. The
	// root key is thrown away.
	root, err := newRepository(ctx, store, provider)
	if err != nil {
		return err
	}

	updater, err := tufupdate.New(tufupdate.Config{
		Store:  store,
		Keys:   provider,
		Roots:  tufupdate.PinnedRoot(root), // clients trust the same root
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- updater.Run(working) }()

	// Sign and publish new versions of timestamp and snapshot, and of targets, whose key is online.
	task, err := updater.ForceOnline(ctx, app, nil)
	if err != nil {
		return err
	}
	task, err = updater.Wait(ctx, task.ID)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, task.State, task.Result.Versions, task.Result.Error)

	// Run finishes what it has begun.
	stop()
	if err := <-stopped; err != nil {
		return err
	}

	// The client verifies from the same root.
	content, err := download(ctx, store, root, target)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "verified %s: %s\n", target, content)
	return nil
}
