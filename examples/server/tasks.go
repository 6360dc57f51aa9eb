package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
	"github.com/tufonline/tufonline/tasks/rivertasks/riverpostgres"
	"github.com/tufonline/tufonline/tasks/rivertasks/riversqlite"
)

// memTasks is the URL of a task store in memory.
const memTasks = "mem://"

func openTasks(ctx context.Context, o options, log *slog.Logger) (tasks.Store, error) {
	river := rivertasks.Options{
		Logger: log,
		Rescue: 2*o.rollTimeout + time.Minute/4, // a task may have to wait for another roll before its own
	}
	return tasks.Open(ctx, o.tasks, riversqlite.Driver(river), riverpostgres.Driver(river))
}
