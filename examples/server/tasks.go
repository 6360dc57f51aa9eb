package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// memTasks is the URL of a task store in memory.
const memTasks = "mem://"

// openTasks opens a task store, and returns what closes it.
func openTasks(ctx context.Context, o options, log *slog.Logger) (tasks.Store, io.Closer, error) {
	if o.tasks == memTasks {
		return tasks.NewMemory(tasks.MemoryOptions{}), io.NopCloser(nil), nil
	}
	store, err := rivertasks.Open(ctx, o.tasks, rivertasks.Options{
		Logger: log,
		Rescue: 2*o.rollTimeout + time.Minute/4, // a request may have to wait for the roll before its own
	})
	if err != nil {
		return nil, nil, err
	}
	return store, store, nil
}
