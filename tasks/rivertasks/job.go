package rivertasks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
)

// queue is River's queue of the jobs that are tasks.
const queue = "tuf_online"

// A job is a task as the arguments of River's row.
type job jsonform.Job

// Kind implements river.JobArgs.
func (job) Kind() string { return Kind }

// state returns the state of a task whose row has River's state s.
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

// taskOf returns the task in a row.
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
	var last jsonform.Attempt
	if output := row.Output(); output != nil {
		if err := json.Unmarshal(output, &last); err != nil {
			return tasks.Task{}, fmt.Errorf("reading the output of job %d: %w", row.ID, err)
		}
	}
	t.Result = tasks.Result(last.Result)
	// An attempt that lost its worker has an error of River's and no output.
	if n := len(row.Errors); s != tasks.StateSuccess && n > 0 && row.Errors[n-1].Attempt > last.Number {
		t.Result = tasks.Result{Error: row.Errors[n-1].Error, Code: tasks.CodeLost}
	}
	if s == tasks.StateFailure && t.Result.Error == "" { // River says nothing of a job that waited
		t.Result = tasks.Result{Error: "it was cancelled", Code: tasks.CodeCancelled}
	}
	return t, nil
}

// updated returns when the state of a row last changed.
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
