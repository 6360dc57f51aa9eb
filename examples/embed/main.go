// Command embed is the library in one screen: a repository in memory, whose online roles are
// rolled, and a client that follows.
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
	// A store and a key provider. Others are in the packages below storage, and in keys.
	store, provider := storage.NewMemory(storage.MemoryOptions{}), keys.NewMemory()

	// A repository, as another tool may have made it. Its online keys are in the provider, its root
	// key is thrown away.
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

	// Sign and publish new versions: here of snapshot and timestamp, and of targets, since its key
	// is online.
	task, err := updater.ForceOnline(ctx, app, nil)
	if err != nil {
		return err
	}
	task, err = updater.Wait(ctx, task.ID)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, task.State, task.Result.Versions, task.Result.Error)

	// Stop: what was accepted is finished first.
	stop()
	if err := <-stopped; err != nil {
		return err
	}

	// What clients see.
	content, err := download(ctx, store, root, target)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "verified %s: %s\n", target, content)
	return nil
}
