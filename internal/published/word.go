package published

import (
	"slices"
	"strings"
	"time"
)

// A Word is what the rules leave to the operator, for one app.
type Word struct {
	Believe     []Belief
	Online      map[Delegation]bool // roles that are online although rule 5 has them offline
	Uploads     map[string]bool     // online roles, and prefixes of bins, whose holders upload
	HashBins    bool
	BothLayouts bool
	Versions    map[string]int64 // by role, what a snapshot that is made lists
}

// A Belief names listed documents that are signed anew whoever has signed them: one by its role and
// SHA-256 in hex, or bins by their prefix until a day.
type Belief struct {
	Role   string
	SHA256 string
	Until  time.Time // zero: for ever
}

// A Delegation names a role, or bins by their prefix, and the role that declares it.
type Delegation struct{ Declarer, Role string }

// believes reports whether the operator believes a role's document by its SHA-256 in hex.
func (w Word) believes(n *node, sum string, now time.Time) bool {
	return slices.ContainsFunc(w.Believe, func(b Belief) bool {
		return b.Role == n.role.Name && strings.EqualFold(b.SHA256, sum) && (b.Until.IsZero() || now.Before(b.Until))
	})
}

// believesBins reports whether the operator believes the listed documents of the bins that n is one
// of.
func (w Word) believesBins(n *node, now time.Time) bool {
	return n.bin && slices.ContainsFunc(w.Believe, func(b Belief) bool {
		return b.Role == n.bins() && b.SHA256 == "" && now.Before(b.Until)
	})
}

// online reports whether the operator has named a role as online.
func (w Word) online(n *node) bool {
	return n.by != nil && w.Online[Delegation{n.by.role.Name, n.name()}]
}

// uploads reports whether the operator has said that an online role's holders upload.
func (w Word) uploads(n *node) bool { return w.Uploads[n.role.Name] || n.bin && w.Uploads[n.bins()] }
