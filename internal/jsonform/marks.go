package jsonform

import (
	"encoding/json"
	"fmt"
)

// MarksFormat is the format of Marks that this release writes and reads.
const MarksFormat = 1

// Marks are what is remembered of one app: the documents that were published or seen.
type Marks struct {
	Format int               `json:"format"` // MarksFormat
	App    string            `json:"app"`
	Root   *Mark             `json:"root,omitempty"`  // the newest
	Roles  map[string][]Mark `json:"roles,omitempty"` // by role, in the order of their keys
}

// A Mark is one document.
type Mark struct {
	Version int64    `json:"version"`
	SHA256  string   `json:"sha256"` // of the file, in hex
	Keys    []string `json:"keys"`   // SHA-256 of the public keys that signed it, in hex, ascending

	// Validity is for how many seconds it was to be valid when it was signed here.
	Validity int64 `json:"validity,omitempty"`
}

// DecodeMarks reads Marks. It refuses other formats than MarksFormat.
func DecodeMarks(data []byte) (Marks, error) {
	var header struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &header); err != nil {
		return Marks{}, err
	}
	if header.Format != MarksFormat {
		return Marks{}, fmt.Errorf("it has format %d, and this release reads format %d", header.Format, MarksFormat)
	}
	var marks Marks
	err := Decode(data, &marks)
	return marks, err
}
