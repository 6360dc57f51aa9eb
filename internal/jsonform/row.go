package jsonform

// A Job is a task in the arguments of River's row. Rows with the same ID are the same job.
type Job struct {
	ID    string   `json:"id"    river:"unique"`
	App   string   `json:"app"`
	Roles []string `json:"roles"`
}

// An Attempt is the last attempt at a task, in the output of River's row.
type Attempt struct {
	Number int    `json:"attempt"` // from 1
	Result Result `json:"result"`
}

// A Result is a tasks.Result. The two convert into each other.
type Result struct {
	Error    string           `json:"error,omitempty"`
	Code     string           `json:"code,omitempty"`
	Roles    []string         `json:"roles,omitempty"`
	Versions map[string]int64 `json:"versions,omitempty"`
	Accepted map[string]int64 `json:"accepted,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
}
