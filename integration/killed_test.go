package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A line is what a worker that is going to be killed says of a task: that it was accepted, and how
// it ended.
type line struct {
	Task     string
	App      string
	Roles    []string // that were asked for
	State    tasks.State
	Versions map[string]int64
	Error    string
}

// workUntilKilled has tasks done for random roles of random apps, and says so in lines.
func workUntilKilled(ctx context.Context, updater *tufupdate.Updater, j job, out io.Writer) error {
	var mu sync.Mutex
	say := func(l line) error {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		_, err = fmt.Fprintf(out, "%s\n", text) // at once: whatever is in a buffer dies with the process
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return updater.Run(ctx) })
	for g := range goroutines {
		random := rand.New(rand.NewPCG(j.Seed, uint64(g)))
		group.Go(func() error {
			for {
				a := j.Apps[random.IntN(len(j.Apps))]
				accepted, err := updater.ForceOnline(ctx, a.App, a.Roles[random.IntN(len(a.Roles))])
				if err != nil {
					return err
				}
				if err := say(line{Task: accepted.ID, App: a.App, Roles: accepted.Roles, State: accepted.State}); err != nil {
					return err
				}
				task, err := updater.Wait(ctx, accepted.ID)
				if err != nil {
					return err
				}
				if err := say(line{task.ID, a.App, task.Roles, task.State, task.Result.Versions, task.Result.Error}); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
