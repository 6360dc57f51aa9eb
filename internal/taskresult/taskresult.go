// Package taskresult is what became of a task as those who ask for it over HTTP are told, and those
// who read it from elsewhere.
package taskresult

import (
	"time"

	"github.com/tufonline/tufonline/tasks"
)

// isoTime is ISO 8601 with microseconds and a numeric offset, for UTC too.
const isoTime = "2006-01-02T15:04:05.000000-07:00"

// Time formats a time.
func Time(t time.Time) string { return t.UTC().Format(isoTime) }

// A Result is what became of a task.
type Result struct {
	Message    string  `json:"message"`
	Status     bool    `json:"status"` // true on success
	Task       string  `json:"task"`
	LastUpdate string  `json:"last_update"`
	Error      string  `json:"error,omitempty"`
	Details    Details `json:"details"`
}

// Details are what was published.
type Details struct {
	UpdatedRoles []string         `json:"updated_roles"`
	Versions     map[string]int64 `json:"versions"`
	Warnings     []string         `json:"warnings,omitempty"`
	Attempt      int              `json:"attempt,omitempty"` // the last one, from 1
}

// Of returns what became of a task, nil if there is nothing to say yet.
func Of(task tasks.Task) *Result {
	if !task.State.Ended() && task.Result.Error == "" {
		return nil
	}
	result := &Result{
		Message:    "Online metadata updated.",
		Status:     task.State == tasks.StateSuccess,
		Task:       "force_online_metadata_update",
		LastUpdate: Time(task.Updated),
		Error:      task.Result.Error,
		Details: Details{UpdatedRoles: task.Result.Roles, Versions: task.Result.Versions, Warnings: task.Result.Warnings,
			Attempt: task.Attempt},
	}
	switch task.State {
	case tasks.StateFailure:
		result.Message = "Online metadata update failed."
	case tasks.StatePending:
		result.Message = "Online metadata update failed and will be tried again."
	case tasks.StateStarted:
		result.Message = "Online metadata update failed and is tried again."
	}
	if result.Details.UpdatedRoles == nil {
		result.Details.UpdatedRoles = []string{}
	}
	if result.Details.Versions == nil {
		result.Details.Versions = map[string]int64{}
	}
	return result
}
