package tasks_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tufonline/tufonline/tasks"
)

// Run works the tasks that were added before it and while it is active. Get returns their results.
func ExampleMemory() {
	store := tasks.NewMemory(tasks.MemoryOptions{})
	err := store.Add(context.Background(), tasks.Task{ID: "5a1c2c4e", App: "acme/desktop", Roles: []string{"timestamp"}})
	if err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	err = store.Run(ctx, func(_ context.Context, t tasks.Task) (tasks.Result, error) {
		defer stop() // a server runs for ever
		return tasks.Result{Roles: t.Roles, Versions: map[string]int64{"timestamp": 43}}, nil
	})
	if err != nil {
		log.Fatal(err)
	}

	t, err := store.Get(context.Background(), "5a1c2c4e")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.State, t.Result.Versions)
	// Output: SUCCESS map[timestamp:43]
}
