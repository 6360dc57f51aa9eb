package jsonform

import "time"

// A Status is the data of the answer to a question for the state of a repository. Its fields are
// those of tufupdate.Status.
type Status struct {
	App      string       `json:"app"`
	Roles    []RoleStatus `json:"roles"`
	Warnings []string     `json:"warnings,omitempty"`
}

// A RoleStatus is one role of a Status. A tufupdate.RoleStatus converts into it.
type RoleStatus struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires,omitzero"`
	ExpiresIn *int64    `json:"expires_in,omitempty"` // seconds
	Verified  bool      `json:"verified"`
	Online    bool      `json:"online"`
	Problem   string    `json:"problem,omitempty"`
}
