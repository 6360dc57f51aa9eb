package published

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// Rule 6: a role's trouble is its own. A delegation, key or document that makes no sense disables
// the role that it is about, and those below. So does a name that is another role's file name in
// either layout. What is newly accepted has to be readable by every client, and complete.

// maxBins bounds the roles that one document delegates to. There may be 2^32 succinct ones.
const maxBins = 1 << 16

// A refusal says why an unlisted version is not accepted although it verifies.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func untrustedOrRefused(err error) (reason, failure error) {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.error, nil
	}
	return Untrusted(err)
}

// accept returns a refusal or a *FileError if an unlisted version that verifies does not count.
func (a *Assembly) accept(n *node, d *Document) error {
	if err := a.unfit[d.file]; err != nil {
		return err
	}
	if err := n.mayBeListed(d.file); err != nil {
		return refusal{err}
	}
	if err := n.holds(d); err != nil {
		return refusal{err}
	}
	if err := d.file.Readable(); err != nil {
		return refusal{err}
	}
	if n.bin && !a.onlyFile(n, d.file) && !d.file.HasTargets() {
		return refusal{errors.New("it lists nothing, so it may be any bin's document")}
	}
	if d.verified.Expires().After(a.in.Now) || n.listed != nil && !n.listed.verified.Expires().After(a.in.Now) {
		return a.complete(n, d)
	}
	if h, err := a.custodyOf(n); err != nil || h.State != custody.Online { // an online role can be signed anew
		return cmp.Or(err, error(refusal{errors.New("it has expired")}))
	}
	return a.complete(n, d)
}

// complete returns a refusal unless clients can use the delegations of an unlisted version that
// differ from those of the listed one. Of what hangs below, each name is tried once. One role that
// is missing is enough, however many others there are to find: so of those not read yet it names no
// more than it has found already, or a few.
func (a *Assembly) complete(n *node, d *Document) error {
	delegations, err := d.delegations()
	if err != nil {
		return a.fileError(n.role.Name, d.Version(), err)
	}
	var before *tufmeta.Delegations
	if n.listed != nil {
		before, _ = n.listed.delegations() // an error comes up where its roles are declared
	}
	warnings := len(a.repo.Warnings)
	defer func() { a.repo.Warnings = a.repo.Warnings[:warnings] }() // of what is tried only
	if a.tried == nil {
		a.tried = map[string]bool{}
		defer func() { a.tried = nil }()
	}
	var pending error
	found, waiting, needed := 0, 0, len(a.need.Files)
	for role := range delegations.All() {
		if a.tried[role.Name] || a.countsForNothing(n, role.Name) || a.isListed(role.Name) && declaredSo(before, role) {
			continue
		}
		a.tried[role.Name] = true
		child := a.newNode(n, role, delegations)
		if err := a.judge(child); err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return err
			}
			if waiting++; waiting >= max(repofiles.Parallel, found) {
				break
			}
			continue
		}
		if child.doc == nil {
			a.need.Files = a.need.Files[:needed]
			a.unfit[d.file] = a.fileError(n.role.Name, d.Version(), fmt.Errorf("delegated role %s: %s", role.Name,
				shortened(child.err)))
			return a.unfit[d.file]
		}
		found++
	}
	return pending
}

// shortened returns the text of an error, cut where it is long: delegations may be deep.
func shortened(err error) string {
	const longest = 500
	text := err.Error()
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// delegations returns what a document delegates to, unless that is too much.
func (d *Document) delegations() (*tufmeta.Delegations, error) {
	delegations, err := d.file.Delegations()
	if err == nil && delegations.Len() > maxBins {
		err = fmt.Errorf("delegates to %d roles, more than %d", delegations.Len(), maxBins)
	}
	return delegations, err
}

// collides returns an error if a role's name is another role's file name. Of two roles that collide
// the one that is declared nearer to targets keeps its name.
func (a *Assembly) collides(name string, delegations *tufmeta.Delegations) error {
	others := tufmeta.Collisions(name)
	for _, other := range others {
		if isTopLevel(other) || a.declares(other) || delegations.Role(other) != nil {
			return fmt.Errorf("its name is a file name of role %s", other)
		}
	}
	if taken := a.fileNames[name]; taken != "" {
		return fmt.Errorf("its file name is the name of role %s", taken)
	}
	for _, other := range others {
		a.fileNames[other] = name
	}
	return nil
}
