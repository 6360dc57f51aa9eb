package rivertasks

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

// Tasks have a kind and a queue of their own, for others may use the same database.
const (
	kind  = "tuf_online_update"
	queue = "tuf_online"
)

// A job is a task as River's row keeps it. Only the ID makes it another one.
type job struct {
	ID    string   `json:"id"    river:"unique"`
	App   string   `json:"app"`
	Roles []string `json:"roles"`
}

// Kind implements river.JobArgs.
func (job) Kind() string { return kind }

// An outcome is what the last attempt came to, as River's row keeps it.
type outcome struct {
	Attempt int          `json:"attempt"`
	Result  tasks.Result `json:"result"`
}

// states says what River's states mean here.
func state(s rivertype.JobState) (tasks.State, error) {
	switch s {
	case rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateScheduled, rivertype.JobStateRetryable:
		return tasks.StatePending, nil
	case rivertype.JobStateRunning:
		return tasks.StateStarted, nil
	case rivertype.JobStateCompleted:
		return tasks.StateSuccess, nil
	case rivertype.JobStateCancelled, rivertype.JobStateDiscarded:
		return tasks.StateFailure, nil
	}
	return "", fmt.Errorf("unknown state %q", s)
}

// taskOf reads a row.
func taskOf(row *rivertype.JobRow) (tasks.Task, error) {
	var args job
	if err := json.Unmarshal(row.EncodedArgs, &args); err != nil {
		return tasks.Task{}, fmt.Errorf("reading job %d: %w", row.ID, err)
	}
	s, err := state(row.State)
	if err != nil {
		return tasks.Task{}, fmt.Errorf("reading job %d: %w", row.ID, err)
	}
	t := tasks.Task{
		ID: args.ID, App: args.App, Roles: args.Roles,
		State: s, Created: row.CreatedAt, Updated: updated(row), Attempt: row.Attempt, MaxAttempts: row.MaxAttempts,
	}
	var last outcome
	if output := row.Output(); output != nil {
		if err := json.Unmarshal(output, &last); err != nil {
			return tasks.Task{}, fmt.Errorf("reading what became of job %d: %w", row.ID, err)
		}
	}
	t.Result = last.Result
	// lost with its worker, perhaps
	if n := len(row.Errors); s != tasks.StateSuccess && n > 0 && row.Errors[n-1].Attempt > last.Attempt {
		t.Result = tasks.Result{Error: strings.TrimPrefix(row.Errors[n-1].Error, "JobCancelError: ")}
	}
	return t, nil
}

// updated returns when the state has last changed.
func updated(row *rivertype.JobRow) time.Time {
	switch {
	case row.FinalizedAt != nil:
		return *row.FinalizedAt
	case len(row.Errors) > 0 && row.State != rivertype.JobStateRunning:
		return row.Errors[len(row.Errors)-1].At
	case row.AttemptedAt != nil:
		return *row.AttemptedAt
	}
	return row.CreatedAt
}
