package published

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

const (
	// maxAhead is how many files are read beyond the one that is listed. Key holders who upload
	// documents leave a few at most.
	maxAhead = 64
	// maxBins bounds the succinct roles that are enumerated. There may be 2^32 of them.
	maxBins = 1 << 16
	// maxDepth is how many delegations lead to a role at most. Clients give up after as many roles
	// (go-tuf, python-tuf and tuf-js alike), so that they never see what lies deeper.
	maxDepth = 32
)

// A node is one targets role.
type node struct {
	role   *tufmeta.Role
	by     *node // who delegates to it; nil for targets
	bin    bool
	listed int64 // its version in the snapshot; 0 if it has none
	taken  int64 // the highest version that a file was found for, whatever it holds

	candidates []*Document // verified: the listed version and the unlisted ones, ascending
	err        error       // what is wrong with the listed version
	found      bool        // the fields above are complete

	visited  bool
	doc      *Document // the candidate that counts; nil if none does
	children []*node
}

// fresh reports whether the document that counts is an unlisted version.
func (n *node) fresh() bool { return n.doc != nil && n.doc.Version() > n.listed }

// depth returns how many delegations lead to the role.
func (n *node) depth() (depth int) {
	for by := n.by; by != nil; by = by.by {
		depth++
	}
	return depth
}

// bins returns the prefix of the bins if the role is one, else "".
func (n *node) bins() string {
	if !n.bin {
		return ""
	}
	return binPrefix(n.role.Name)
}

// binPrefix returns what the names of all bins of a delegation begin with, "" if the name is not
// such a one.
func binPrefix(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || isTopLevel(name[:i]) { // asked for, those are the roles of that name
		return ""
	}
	return name[:i]
}

// judgeTargets judges the targets roles that matter. A roll of the snapshot judges targets and all
// roles that are delegated to from there, since their holders may have uploaded new documents.
// There may be many bins: it judges those that it is to sign, those whose keys are offline, and
// those that an unlisted version of their delegator declares.
func (a *assembly) judgeTargets() error {
	a.asked = map[string]bool{}
	for _, role := range a.repo.Roles {
		a.asked[role] = role != tufmeta.Timestamp && role != tufmeta.Snapshot
	}
	a.nodes = map[string]*node{}
	a.top = &node{role: a.root().Roles[tufmeta.Targets]}
	var earlier []*tufmeta.Role
	for i := len(a.roots) - 2; i >= 0; i-- {
		earlier = append(earlier, a.roots[i].Roles[tufmeta.Targets])
	}
	if err := a.find(a.top, earlier); err != nil {
		return err
	}
	for {
		if err := a.visit(a.top); err != nil {
			return err
		}
		n := a.misled()
		if n == nil {
			break
		}
		n.drop(n.doc)
		for _, n := range slices.Concat(a.order, []*node{a.top}) {
			n.visited, n.doc, n.children = false, nil, nil
		}
	}
	a.repo.targets = a.counting()
	return nil
}

// drop removes a document from the candidates.
func (n *node) drop(d *Document) {
	n.candidates = slices.DeleteFunc(n.candidates, func(candidate *Document) bool { return candidate == d })
}

// misled returns a node whose unlisted version must not be accepted, after a warning, nil if there
// is none. It delegates to a name that is another role's too. The other role's document is the one
// that is listed, and clients that come this way reject it.
func (a *assembly) misled() *node {
	nodes := a.counting()
	counts := map[string]*node{}
	for _, n := range nodes {
		counts[n.role.Name] = n
	}
	for _, n := range nodes {
		if !n.fresh() {
			continue
		}
		for _, child := range n.children {
			other := counts[child.role.Name]
			if other == child || other.doc == nil {
				continue
			}
			if _, err := other.doc.file.Verify(child.role); err != nil {
				a.ignore(n, n.doc.Version(), fmt.Errorf(
					"it delegates to %s by keys that have not signed what is listed for that name", child.role.Name))
				return n
			}
		}
	}
	return nil
}

// counting returns the nodes that count, each name once, those nearest to targets first. A role
// that is delegated to from several places is signed for the nearest.
func (a *assembly) counting() []*node {
	var nodes []*node
	names := map[string]bool{}
	for level := []*node{a.top}; len(level) > 0; {
		var next []*node
		for _, n := range level {
			if names[n.role.Name] {
				continue
			}
			names[n.role.Name] = true
			nodes = append(nodes, n)
			next = append(next, n.children...)
		}
		level = next
	}
	return nodes
}

// ignore warns that an unlisted version is not accepted.
func (a *assembly) ignore(n *node, version int64, reason error) {
	a.repo.warn("ignoring unlisted version %d of role %s: %v", version, n.role.Name, reason)
}

// find gathers the candidates of a role: the version that the snapshot lists, and the unlisted ones
// after it. A file that does not verify is no candidate. earlier are the roles by whose keys the
// listed version may be signed as well.
func (a *assembly) find(n *node, earlier []*tufmeta.Role) error {
	info, listed := a.repo.Snapshot.verified.Listed(n.role.Name)
	n.listed, n.taken = info.Version, info.Version
	n.candidates, n.err = nil, nil
	var err error
	if !a.layout.Consistent {
		err = a.findOnly(n, info, earlier)
	} else {
		if listed {
			err = a.findListed(n, info, earlier)
		}
		if !a.in.ListedOnly {
			err = errors.Join(err, a.findUnlisted(n))
		}
	}
	n.found = err == nil
	return err
}

// findListed finds the version that the snapshot lists.
func (a *assembly) findListed(n *node, info tufmeta.FileInfo, earlier []*tufmeta.Role) error {
	name := n.role.Name
	f, err := a.listed(name, info.Version, n.role)
	if err == nil && !f.Exists() {
		err = a.fileError(name, info.Version, errNotFound)
	}
	if err == nil {
		if err = info.Check(f.Document); err == nil {
			err = n.add(f, earlier)
		}
		if err != nil {
			err = a.reject(name, f, err)
		} else {
			f.Settle()
		}
	}
	n.err, err = Untrusted(err)
	return err
}

// findUnlisted finds the versions after the one that the snapshot lists.
func (a *assembly) findUnlisted(n *node) error {
	name := n.role.Name
	for version := n.listed + 1; ; version++ {
		if version > n.listed+maxAhead {
			a.repo.warn("role %s: more than %d files after version %d: the rest is not read", name, maxAhead, n.listed)
			return nil
		}
		f, err := a.file(name, version, repofiles.Next, n.role)
		if err != nil {
			return err
		}
		if !f.Exists() {
			return nil
		}
		if errors.Is(f.Err, storage.ErrInvalidKey) { // no version can be there
			n.err = a.fileError(name, version, f.Err)
			return nil
		}
		n.taken = max(n.taken, version)
		if problem := a.addUnlisted(n, f, version); problem != nil {
			a.ignore(n, version, problem)
			a.repo.Rejected = append(a.repo.Rejected, f.Name)
		}
	}
}

func (a *assembly) addUnlisted(n *node, f *repofiles.File, version int64) error {
	switch {
	case f.Err != nil:
		return a.fileError(n.role.Name, version, f.Err)
	case f.Version() != version:
		return a.reject(n.role.Name, f, fmt.Errorf("has version %d", f.Version()))
	}
	if err := n.add(f, nil); err != nil {
		return a.reject(n.role.Name, f, err)
	}
	return nil
}

// findOnly is find without consistent snapshots: there is one file, which is the listed version or
// a later one.
func (a *assembly) findOnly(n *node, info tufmeta.FileInfo, earlier []*tufmeta.Role) error {
	name := n.role.Name
	f, err := a.listed(name, 0, n.role)
	if err == nil && !f.Exists() {
		if n.listed != 0 {
			n.err = a.fileError(name, n.listed, errNotFound)
		}
		return nil
	}
	if err == nil {
		n.taken = max(n.taken, f.Version())
		if err = a.checkListed(info, f); err == nil {
			if f.Version() != info.Version {
				earlier = nil // holders of replaced keys upload nothing any more
			}
			err = n.add(f, earlier)
		}
		if err != nil {
			err = a.reject(name, f, err)
		}
	}
	n.err, err = Untrusted(err)
	return err
}

// add makes a file a candidate if it verifies by the role, or by one that the role replaced.
func (n *node) add(f *repofiles.File, earlier []*tufmeta.Role) error {
	v, err := f.Verify(n.role)
	if err == nil {
		n.candidates = append(n.candidates, &Document{verified: v, file: f})
		return nil
	}
	for _, role := range earlier {
		if role == nil || role.Equal(n.role) {
			continue
		}
		if v, earlierErr := f.Verify(role); earlierErr == nil {
			n.candidates = append(n.candidates, &Document{verified: v, file: f, replaced: true})
			return nil
		}
	}
	return err
}

// Finds reports whether judging the repository again finds the file of that version by itself.
func (r *Repository) Finds(role string, version int64) bool {
	listed, isTargets := r.Snapshot.verified.Listed(role)
	return isTargets && version <= listed.Version+maxAhead
}
