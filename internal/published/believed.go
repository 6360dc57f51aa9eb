package published

import (
	"fmt"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Rule 3: replaced keys are believed on the operator's word, for listed bytes. For targets the
// pinned root is that word, if it names the present keys and the snapshot lists length and SHA-256.
// For any role the operator may name the role and the SHA-256 of the listed document; for bins
// their prefix and a day, if the snapshot lists length and SHA-256. Only online roles gain by it.

// believe returns the listed file of a role as a document although its present keys have not signed
// it, for the reason given. A refusal names the ways out.
func (a *Assembly) believe(n *node, f *repofiles.File, info tufmeta.FileInfo, reason error) (*Document, error) {
	h, err := a.custodyOf(n)
	if err != nil {
		return nil, err
	}
	if h.State != custody.Online {
		return nil, a.reject(n.role.Name, f, fmt.Errorf("%w: its key holders have to sign and upload a new version", reason))
	}
	pinned := info.Length > 0 && info.Hashes["sha256"] != ""
	byPin := n.by == nil && a.in.Pinned != nil && a.in.Pinned.Roles[tufmeta.Targets].SameKeys(n.role)
	byDay := a.in.Word.believesBins(n, a.in.Now)
	sum := fmt.Sprintf("%x", f.Sum())
	if !a.in.Word.believes(n, sum, a.in.Now) && (!pinned || !byPin && !byDay) {
		ways := "publish a version signed by present keys, or believe this one by its SHA-256 " + sum
		if n.by == nil && pinned {
			ways += ", or pin the newest root"
		}
		return nil, a.reject(n.role.Name, f, fmt.Errorf("%w: if what it says is right, %s", reason, ways))
	}
	v, err := f.Believe(n.role)
	if err != nil {
		return nil, a.reject(n.role.Name, f, err)
	}
	return &Document{verified: v, file: f}, nil
}
