package jsonform

import "github.com/tufonline/tufonline/tasks"

// An Answer is the body of an HTTP answer that carries data.
type Answer[T any] struct {
	Data    T      `json:"data"`
	Message string `json:"message"`
}

// A Notice is the body of an HTTP answer that carries no data.
type Notice struct {
	Message string `json:"message"`
}

// A Readiness is the body of the answer of a server that is ready.
type Readiness struct {
	Message     string `json:"message"`
	FailingApps int    `json:"failing_apps,omitempty"` // apps with a trouble
}

// A Refusal is the body of an HTTP answer that refuses the request.
type Refusal struct {
	Message string `json:"message,omitempty"` // empty for a bad request
	Error   string `json:"error"`
}

// An Acceptance is the data of the answer to an accepted update.
type Acceptance struct {
	TaskID     string `json:"task_id"`
	LastUpdate string `json:"last_update"` // when the task was accepted
}

// AcceptanceOf returns the form of a task that was just accepted.
func AcceptanceOf(t tasks.Task) Acceptance {
	return Acceptance{TaskID: t.ID, LastUpdate: isoTime(t.Created)}
}

// A Forgotten is the data of the answer to an operator who has had an app forgotten.
type Forgotten struct {
	App      string           `json:"app"`
	Versions map[string]int64 `json:"versions"` // by role: the newest that were remembered
}

// A TaskState is the data of the answer to a question for a task.
type TaskState struct {
	TaskID  string      `json:"task_id"`
	State   tasks.State `json:"state"`
	Outcome *Outcome    `json:"result,omitempty"` // see OutcomeOf
}

// TaskStateOf returns the form of a task.
func TaskStateOf(t tasks.Task) TaskState {
	return TaskState{TaskID: t.ID, State: t.State, Outcome: OutcomeOf(t)}
}

// A Record is the value of task:<id> in Redis.
type Record struct {
	State   tasks.State `json:"state"`
	Outcome *Outcome    `json:"result,omitempty"` // see OutcomeOf
}

// RecordOf returns the form of a task.
func RecordOf(t tasks.Task) Record { return Record{State: t.State, Outcome: OutcomeOf(t)} }
