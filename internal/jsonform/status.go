package jsonform

import "time"

// A Status is the data of the answer to a question for the state of a repository. Its fields are
// those of tufupdate.Status.
type Status struct {
	App      string       `json:"app"`
	Healthy  bool         `json:"healthy"` // there are no troubles
	Roles    []RoleStatus `json:"roles"`
	Troubles []Trouble    `json:"troubles,omitempty"`
	Uploads  []Upload     `json:"uploads,omitempty"`
	Warnings []string     `json:"warnings,omitempty"`
}

// A Trouble keeps clients of an app from going on. It shows no path.
type Trouble struct {
	Role  string    `json:"role,omitempty"` // empty: the app as a whole
	Code  string    `json:"code"`
	Who   string    `json:"who"` // has to act: updater, operator or holders
	Text  string    `json:"text"`
	Keys  []string  `json:"keys,omitempty"` // IDs of keys that cannot sign
	Since time.Time `json:"since,omitzero"`
}

// An Upload is an unlisted version of a targets role. A tufupdate.Upload converts into it.
type Upload struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Waits   string `json:"waits,omitempty"` // why it is not accepted
}

// A RoleStatus is one role of a Status. A tufupdate.RoleStatus converts into it.
type RoleStatus struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires,omitzero"`
	ExpiresIn *int64    `json:"expires_in,omitempty"` // seconds
	Due       time.Time `json:"due,omitzero"`
	Verified  bool      `json:"verified"`
	Online    bool      `json:"online"`
	Problem   string    `json:"problem,omitempty"`
}
