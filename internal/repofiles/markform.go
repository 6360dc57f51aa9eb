package repofiles

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// encodeMarks returns the object that holds an app's marks. Equal marks give equal bytes.
func encodeMarks(app string, m Marks) ([]byte, error) {
	form := jsonform.Marks{Format: jsonform.MarksFormat, App: app, Roles: map[string][]jsonform.Mark{}}
	if m.Root.Version != 0 {
		root := encodeMark(m.Root)
		form.Root = &root
	}
	for role, marks := range m.Roles {
		for _, mark := range marks {
			form.Roles[role] = append(form.Roles[role], encodeMark(mark))
		}
	}
	return json.Marshal(form)
}

func encodeMark(m Mark) jsonform.Mark {
	return jsonform.Mark{
		Version: m.Version, SHA256: hex.EncodeToString(m.Sum[:]), Keys: m.Keys, Validity: int64(m.Validity / time.Second),
	}
}

// decodeMarks reads the object that holds an app's marks. Whatever encodeMarks would not have
// written is an error: marks that are read wrong protect nothing.
func decodeMarks(app string, data []byte) (Marks, error) {
	form, err := jsonform.DecodeMarks(data)
	if err != nil {
		return Marks{}, err
	}
	if form.App != app {
		return Marks{}, fmt.Errorf("it is of the app %q", form.App)
	}
	m := Marks{Roles: map[string][]Mark{}}
	if form.Root != nil {
		if m.Root, err = decodeMark(*form.Root); err != nil {
			return Marks{}, fmt.Errorf("root: %w", err)
		}
	}
	for role, marks := range form.Roles {
		if role == "" || role == tufmeta.Root || len(marks) == 0 {
			return Marks{}, fmt.Errorf("roles: %q has no place there", role)
		}
		for _, f := range marks {
			mark, err := decodeMark(f)
			if err != nil {
				return Marks{}, fmt.Errorf("role %s: %w", role, err)
			}
			m.Roles[role] = append(m.Roles[role], mark)
		}
		if !slices.IsSortedFunc(m.Roles[role], compare) {
			return Marks{}, fmt.Errorf("role %s: not in order", role)
		}
	}
	return m, nil
}

func decodeMark(f jsonform.Mark) (Mark, error) {
	m := Mark{Version: f.Version, Keys: f.Keys, Validity: time.Duration(f.Validity) * time.Second}
	if f.Validity < 0 || m.Validity/time.Second != time.Duration(f.Validity) {
		return Mark{}, fmt.Errorf("validity %d", f.Validity)
	}
	if m.Version < 1 || m.Version > tufmeta.MaxVersion {
		return Mark{}, fmt.Errorf("version %d", m.Version)
	}
	sum, err := decodeDigest(f.SHA256)
	if err != nil {
		return Mark{}, fmt.Errorf("sha256: %w", err)
	}
	copy(m.Sum[:], sum)
	if len(m.Keys) == 0 || !slices.IsSorted(m.Keys) || len(slices.Compact(slices.Clone(m.Keys))) < len(m.Keys) {
		return Mark{}, errors.New("keys: not a list of keys in order")
	}
	for _, key := range m.Keys {
		if _, err := decodeDigest(key); err != nil {
			return Mark{}, fmt.Errorf("keys: %w", err)
		}
	}
	return m, nil
}

// decodeDigest reads a SHA-256 in hex, in lower case.
func decodeDigest(text string) ([]byte, error) {
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != len(Mark{}.Sum) || hex.EncodeToString(digest) != text {
		return nil, fmt.Errorf("%q is not a SHA-256 in hex", text)
	}
	return digest, nil
}
