package published

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/internal/tufmeta"
)

// A node is one targets role. Its declarer is the document nearest to targets that declares the
// name, of those that count, the earlier one among equals. Other declarations of that name count
// for nothing.
type node struct {
	role   *tufmeta.Role
	by     *node                // the declarer; nil for targets
	within *tufmeta.Delegations // the delegations that declare it
	newest *tufmeta.Role        // as the newest verified document of by declares it; nil if it does not
	depth  int                  // how many delegations lead to it
	bin    bool
	prefix string // of the bins if the role is one, else ""
	barred error  // why the role is disabled although its delegation makes sense

	find    *find
	uploads []Upload  // without role and bins
	listed  *Document // the listed version, if it counts
	latest  *Document // the newest version that present keys have signed, acceptable or not
	doc     *Document // the one that counts; nil if none does
	err     error     // what is wrong with the listed version or, if doc is nil, with all
}

// isDisabled reports whether no document of the role counts, whatever it says.
func (n *node) isDisabled() bool { return n.barred != nil || n.role.Problem() != nil }

// fresh reports whether the document that counts is an unlisted version.
func (n *node) fresh() bool { return n.doc != nil && n.doc != n.listed }

// bins returns the prefix of the bins if the role is one, else "".
func (n *node) bins() string { return n.prefix }

// name returns the role's name, or the prefix that it shares with other bins.
func (n *node) name() string { return cmp.Or(n.bins(), n.role.Name) }

// binPrefix returns what the names of all bins of a delegation begin with, "" if the name is not
// such a one.
func binPrefix(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || isTopLevel(name[:i]) { // asked for, those are the roles of that name
		return ""
	}
	return name[:i]
}

// maxDepth is how deep delegations are followed. Clients look at 32 roles for a target file.
const maxDepth = 32

// judgeTargets judges the targets roles that matter. A roll of the snapshot judges targets and all
// roles that are delegated to from there, since their holders may have uploaded new documents.
// There may be many bins: it judges those that it is to sign, those whose keys are offline, and
// those that an unlisted version of their delegator declares.
func (a *Assembly) judgeTargets() error {
	a.asked = map[string]bool{}
	for _, role := range a.repo.Roles {
		a.asked[role] = role != tufmeta.Timestamp && role != tufmeta.Snapshot
	}
	decide := a.decide
	if a.in.Survey && a.in.Depth < ToUploads && !a.made { // it shows what clients see
		decide = a.walkListed
	}
	if err := decide(); err != nil {
		return err
	}
	a.repo.targets, a.repo.uploads = a.order, a.uploads()
	a.repo.Warnings = unrepeated(slices.Concat(a.notes, a.repo.Warnings))
	return nil
}

// decide walks until it is certain which documents count.
func (a *Assembly) decide() error {
	for again := true; again; {
		if err := a.walk(); err != nil {
			return err
		}
		if !slices.ContainsFunc(a.order, (*node).fresh) {
			break
		}
		if a.owners == nil && !a.made { // whose names the unlisted versions may not take
			if err := a.findOwners(); err != nil {
				return err
			}
			continue
		}
		// That no other role has a key of an online role is known only in the end.
		again = false
		for _, n := range a.order {
			other, err := a.shared(n)
			if err != nil {
				return err
			}
			if other != nil {
				a.unfit[n.doc.file] = other
				again = true
			}
		}
	}
	return nil
}

// walk goes down the delegations, those nearest to targets first, and decides for each role that
// matters which of its documents counts.
func (a *Assembly) walk() error {
	top := &node{role: a.root().Roles[tufmeta.Targets]}
	a.order, a.nodes, a.repo.Warnings = []*node{top}, map[string]*node{tufmeta.Targets: top}, nil
	a.declared, a.succinct, a.shares = map[string]*tufmeta.Role{}, nil, nil
	a.fileNames, a.prefixes = map[string]string{}, map[string]*node{}
	var pending error
	for i := 0; i < len(a.order); i++ {
		n := a.order[i]
		err := a.judge(n)
		if errors.Is(err, errPending) && a.in.Survey && n.find != nil && n.find.listed != nil {
			n.doc, _ = a.judgeListed(n) // what is below by that is asked for at the same time
		}
		if n.doc != nil {
			err = cmp.Or(a.declare(n), err)
		}
		if err != nil {
			if pending = err; !errors.Is(err, errPending) {
				return err
			}
		}
	}
	return pending
}

// judge decides which document of a role counts: the newest that is accepted, or the listed one.
func (a *Assembly) judge(n *node) (err error) {
	if n.isDisabled() {
		n.err = fmt.Errorf("role %s: %w", n.role.Name, cmp.Or(n.barred, n.role.Problem()))
		return nil
	}
	if n.find, err = a.find(n); err != nil {
		return err
	}
	if n.err = n.find.err; n.find.listed != nil {
		n.listed, err = a.judgeListed(n)
		if n.err, err = Untrusted(err); err != nil {
			return err
		}
	}
	if n.latest = n.listed; n.latest != nil && n.latest.Believed() {
		n.latest = nil
	}
	n.doc = nil
	var ignored []error
	unlisted := n.find.unlisted
	if n.uploads = slices.Clone(n.find.ignored); a.onlyOwned {
		n.uploads, unlisted = nil, nil
	}
	if len(n.uploads) > 0 {
		ignored = append(ignored, notTaken(n.uploads[0].Version, n.uploads[0].Reason))
	}
	for _, f := range slices.Backward(unlisted) {
		left := false
		d, err := present(n.role, f)
		if err == nil {
			err = a.wanted(n, f)
			theirs := !errors.Is(err, errOnlyListed) && !errors.Is(a.unfit[f], errShared)
			if theirs && (n.latest == n.listed || n.latest == nil) {
				n.latest = d
			}
			if err == nil {
				err = a.accept(n, d)
			}
			if err == nil {
				n.doc = d
			}
			var pending error
			if left, pending = a.isLeft(n, f); pending != nil {
				return pending
			}
		} else {
			err = refusal{a.reject(n.role.Name, f, err)}
		}
		reason, err := untrustedOrRefused(err)
		if err != nil {
			return err
		}
		if !left {
			n.note(f, reason)
		}
		if reason == nil {
			break
		}
		ignored = append(ignored, notTaken(f.Version(), reason))
	}
	if n.doc == nil {
		n.doc = n.listed
	}
	if f := n.find.given; n.doc == nil && f != nil { // the operator's word, where nothing else counts
		d, reason := present(n.role, f)
		if reason != nil {
			d, reason = a.believe(n, f, tufmeta.FileInfo{}, reason)
		}
		if reason, err = Untrusted(reason); err != nil {
			return err
		}
		if reason == nil {
			n.doc, n.listed, n.err = d, d, nil
			return nil
		}
		ignored = append(ignored, reason)
	}
	if n.doc == nil {
		n.err = n.trouble()
		for _, reason := range ignored {
			n.err = withReason(n.err, reason)
		}
	}
	return nil
}

func notTaken(version int64, reason error) error {
	return fmt.Errorf("version %d is not taken in: %w", version, reason)
}

// withReason adds to an error what was tried besides.
func withReason(err, reason error) error {
	file, ok := errors.AsType[*FileError](err)
	if !ok {
		return fmt.Errorf("%w; %w", err, reason)
	}
	more := *file
	more.Err = fmt.Errorf("%w; %w", file.Err, reason)
	return &more
}

// trouble returns what is wrong with a role of which no document counts.
func (n *node) trouble() error {
	if n.err != nil {
		return n.err
	}
	return fmt.Errorf("role %s: there is no file that can be trusted", n.role.Name)
}

// judgeListed returns the listed version if it counts.
func (a *Assembly) judgeListed(n *node) (*Document, error) {
	f := n.find.listed
	if err := a.remembered(n.role, f); err != nil {
		return nil, a.reject(n.role.Name, f, err)
	}
	d, err := present(n.role, f)
	if err != nil {
		d, err = a.believe(n, f, n.find.info, err)
	}
	if err != nil {
		return nil, err
	}
	if err := n.holds(d); err != nil {
		return nil, a.reject(n.role.Name, f, err)
	}
	f.Settle()
	return d, nil
}

// unrepeated returns warnings, each once.
func unrepeated(warnings []string) (once []string) {
	seen := map[string]bool{}
	for _, w := range warnings {
		if !seen[w] {
			seen[w] = true
			once = append(once, w)
		}
	}
	return once
}
