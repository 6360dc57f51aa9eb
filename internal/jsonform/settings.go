package jsonform

import "time"

// Settings are the file of an operator's decisions for one app.
type Settings struct {
	Schema      string            `json:"$schema,omitempty"` // for editors
	Targets     string            `json:"targets,omitempty"` // keys, online or offline
	Validity    map[string]string `json:"validity,omitempty"`
	Believe     []Belief          `json:"believe,omitempty"`
	Online      []Delegation      `json:"online,omitempty"`
	Uploads     []string          `json:"uploads,omitempty"`
	HashBins    bool              `json:"hash_bins,omitempty"`
	BothLayouts bool              `json:"both_layouts,omitempty"`
	Versions    map[string]int64  `json:"versions,omitempty"`
}

// A Belief is a tufupdate.Belief. The two convert into each other.
type Belief struct {
	Role   string    `json:"role"`
	SHA256 string    `json:"sha256,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

// A Delegation is a tufupdate.Delegation. The two convert into each other.
type Delegation struct {
	Declarer string `json:"declarer"`
	Role     string `json:"role"`
}
