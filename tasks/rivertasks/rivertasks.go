// Package rivertasks is a task store on [River]. Accepted tasks outlive the process. River has the
// tables, tries tasks again, finds tasks that lost their worker, and removes old ones.
//
// The package links no database. riversqlite opens a store in a file, for one machine.
// riverpostgres opens one for many machines.
//
// A database may hold other jobs of River's. Tasks have a kind and a queue of their own. Only one
// of River's clients leads in a database, and its settings decide for all jobs when they are lost
// or removed. A database or a schema that holds only tasks is better.
//
// [River]: https://riverqueue.com
package rivertasks

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

// A Store is a tasks.Store. It accepts any number of tasks: Add never returns tasks.ErrFull. A
// failure that is tasks.Temporary is tried again.
type Store struct {
	db      database
	options Options
	terms   terms
}

var _ tasks.Store = (*Store)(nil)

// Close closes the database. No Run may be active.
func (s *Store) Close() error { return s.db.Close() }

// Add implements tasks.Store.
func (s *Store) Add(ctx context.Context, t tasks.Task) error {
	result, err := s.db.Insert(ctx, job{ID: t.ID, App: t.App, Roles: t.Roles}, &river.InsertOpts{
		Queue:       queue,
		MaxAttempts: s.options.MaxAttempts,
		UniqueOpts:  river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()},
	})
	if err != nil {
		return fmt.Errorf("add task %s: %w", t.ID, err)
	}
	if result.UniqueSkippedAsDuplicate {
		return fmt.Errorf("add task %s: %w", t.ID, tasks.ErrExists)
	}
	return nil
}

// Get implements tasks.Store.
func (s *Store) Get(ctx context.Context, id string) (tasks.Task, error) {
	t, err := s.get(ctx, id)
	if err != nil {
		return tasks.Task{}, fmt.Errorf("get task %s: %w", id, err)
	}
	return t, nil
}

func (s *Store) get(ctx context.Context, id string) (tasks.Task, error) {
	row, err := s.db.find(ctx, id)
	if err != nil {
		return tasks.Task{}, err
	}
	t, err := taskOf(row)
	if err != nil {
		return tasks.Task{}, err
	}
	if t.State.Ended() && time.Since(t.Updated) > tasks.Retention { // River removes the row soon
		return tasks.Task{}, tasks.ErrNotFound
	}
	return t, nil
}
