package repofiles

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A Mark is a document that was published or seen.
type Mark struct {
	Version int64             // 0: none was
	Sum     [sha256.Size]byte // of what is signed, in canonical form
	Keys    []string          // digests of the keys that signed it, ascending; never changed

	// Validity is for how long the document was to be valid when it was signed here. It is 0 for
	// what others have signed.
	Validity time.Duration
}

// MarkOf returns the mark of a document.
func MarkOf(v *tufmeta.Verified) Mark {
	return Mark{Version: v.Version(), Sum: v.SignedSum(), Keys: v.Signed()}
}

// Marks are what is remembered of one app. They only grow. The zero Marks hold nothing.
type Marks struct {
	Root Mark // the newest

	// Roles has one mark for each set of keys that signed a role's documents: the highest version.
	// A set is left out if another one contains it and has signed a later version.
	Roles map[string][]Mark
}

// Empty reports whether nothing is remembered.
func (m Marks) Empty() bool { return m.Root.Version == 0 && len(m.Roles) == 0 }

// Of returns the highest mark of a role whose keys reach the role's threshold, the zero Mark if
// there is none.
func (m Marks) Of(role *tufmeta.Role) Mark {
	if role.Name == tufmeta.Root {
		return m.Root
	}
	var highest Mark
	for _, mark := range m.Roles[role.Name] {
		if mark.Version > highest.Version && role.EnoughDigests(mark.Keys) {
			highest = mark
		}
	}
	return highest
}

// Newest returns the highest mark of a role, whoever signed it.
func (m Marks) Newest(role string) (highest Mark) {
	for _, mark := range m.Roles[role] {
		if mark.Version > highest.Version {
			highest = mark
		}
	}
	return highest
}

// Versions returns the highest version of each role, whoever signed it. Of the zero Marks it is
// nil.
func (m Marks) Versions() map[string]int64 {
	if m.Roles == nil && m.Root.Version == 0 {
		return nil
	}
	versions := map[string]int64{}
	if m.Root.Version != 0 {
		versions[tufmeta.Root] = m.Root.Version
	}
	for role, marks := range m.Roles {
		for _, mark := range marks {
			versions[role] = max(versions[role], mark.Version)
		}
	}
	return versions
}

// Clone returns a copy that may change.
func (m Marks) Clone() Marks {
	roles := make(map[string][]Mark, len(m.Roles))
	for role, marks := range m.Roles {
		roles[role] = slices.Clone(marks)
	}
	return Marks{m.Root, roles}
}

// Note adds a document, and reports whether the marks have grown.
func (m *Marks) Note(v *tufmeta.Verified) (grew bool) { return m.add(v.Role().Name, MarkOf(v)) }

// NoteSigned adds a document that was signed here, to be valid for a time.
func (m *Marks) NoteSigned(v *tufmeta.Verified, validity time.Duration) {
	mark := MarkOf(v)
	mark.Validity = validity.Truncate(time.Second)
	m.add(v.Role().Name, mark)
}

// ValidityOf returns for how long a document was to be valid when it was signed here, 0 if that is
// not known.
func (m Marks) ValidityOf(v *tufmeta.Verified) time.Duration {
	for _, mark := range m.Roles[v.Role().Name] {
		if mark.Validity > 0 && mark.Version == v.Version() && mark.Sum == v.SignedSum() {
			return mark.Validity
		}
	}
	return 0
}

// Merge adds the marks of other, and reports whether m has grown. Of two documents with the same
// role, version and keys, that of m stays.
func (m *Marks) Merge(other Marks) (grew bool) {
	if other.Root.Version != 0 {
		grew = m.add(tufmeta.Root, other.Root)
	}
	for _, role := range slices.Sorted(maps.Keys(other.Roles)) {
		for _, mark := range other.Roles[role] {
			grew = m.add(role, mark) || grew
		}
	}
	return grew
}

func (m *Marks) add(role string, mark Mark) (grew bool) {
	if role == tufmeta.Root {
		if grew = mark.Version > m.Root.Version; grew {
			m.Root = mark
		}
		return grew
	}
	marks := m.Roles[role]
	for i := range marks { // that it was signed here is not forgotten, whoever has seen it first
		if marks[i].Version == mark.Version && marks[i].Sum == mark.Sum {
			mark.Validity = max(mark.Validity, marks[i].Validity)
			grew = grew || mark.Validity > marks[i].Validity
			marks[i].Validity = mark.Validity
		}
	}
	if slices.ContainsFunc(marks, func(old Mark) bool { return old.covers(mark) }) {
		return grew
	}
	marks = slices.DeleteFunc(marks, func(old Mark) bool {
		return mark.covers(old) && (mark.Version > old.Version || mark.Sum == old.Sum)
	})
	place, _ := slices.BinarySearchFunc(marks, mark, compare)
	if m.Roles == nil {
		m.Roles = map[string][]Mark{}
	}
	m.Roles[role] = slices.Insert(marks, place, mark)
	return true
}

// covers reports whether other says nothing beyond m: whichever role its keys satisfy, those of m
// satisfy too.
func (m Mark) covers(other Mark) bool {
	return m.Version >= other.Version &&
		!slices.ContainsFunc(other.Keys, func(key string) bool { return !slices.Contains(m.Keys, key) })
}

// compare orders the marks of a role by their keys.
func compare(a, b Mark) int {
	return strings.Compare(strings.Join(a.Keys, " "), strings.Join(b.Keys, " "))
}
