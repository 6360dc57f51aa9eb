package jsonform

import (
	"time"

	"github.com/tufonline/tufonline/tasks"
)

// An Outcome says what a task, or its last attempt, came to. HTTP answers and Redis records share
// it.
type Outcome struct {
	Message    string  `json:"message"`
	Status     bool    `json:"status"` // true on success
	Task       string  `json:"task"`
	LastUpdate string  `json:"last_update"`
	Error      string  `json:"error,omitempty"`
	ErrorCode  string  `json:"error_code,omitempty"`
	Details    Details `json:"details"`
}

// Details are what an Outcome says of the published roles.
type Details struct {
	UpdatedRoles     []string         `json:"updated_roles"`
	Versions         map[string]int64 `json:"versions"`
	AcceptedVersions map[string]int64 `json:"accepted_versions,omitempty"`
	Warnings         []string         `json:"warnings,omitempty"`
	Attempt          int              `json:"attempt,omitempty"` // the last one, from 1
}

// OutcomeOf returns the outcome of a task. It is nil until the task has ended or an attempt has
// failed.
func OutcomeOf(t tasks.Task) *Outcome {
	if !t.State.Ended() && t.Result.Error == "" {
		return nil
	}
	outcome := &Outcome{
		Message:    message(t.State),
		Status:     t.State == tasks.StateSuccess,
		Task:       "force_online_metadata_update",
		LastUpdate: isoTime(t.Updated),
		Error:      t.Result.Error,
		ErrorCode:  t.Result.Code,
		Details: Details{
			UpdatedRoles: t.Result.Roles, Versions: t.Result.Versions, AcceptedVersions: t.Result.Accepted,
			Warnings: t.Result.Warnings, Attempt: t.Attempt,
		},
	}
	if outcome.Details.UpdatedRoles == nil {
		outcome.Details.UpdatedRoles = []string{}
	}
	if outcome.Details.Versions == nil {
		outcome.Details.Versions = map[string]int64{}
	}
	return outcome
}

// message returns the text for the state of a task that has an outcome.
func message(s tasks.State) string {
	switch s {
	case tasks.StateFailure:
		return "Online metadata update failed."
	case tasks.StatePending:
		return "Online metadata update failed and will be tried again."
	case tasks.StateStarted:
		return "Online metadata update failed and is tried again."
	default:
		return "Online metadata updated."
	}
}

// isoTime formats a time as ISO 8601 with microseconds and a numeric offset, which UTC has too.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }
