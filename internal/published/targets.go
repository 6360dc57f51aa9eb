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
)

// A nodeKey tells targets roles apart: by name, and by keys and threshold.
type nodeKey struct{ name, fingerprint string }

// A node is one targets role.
type node struct {
	role    *tufmeta.Role
	by      *node // the delegator that was met first; nil for targets
	bin     bool
	earlier []*tufmeta.Role // by whose keys the listed version may be signed as well
	pass    int             // in which the node was last met

	// What find has found.
	listed     int64       // the version in the snapshot; 0 if it has none
	taken      int64       // the highest version that a file was found for, whatever it holds
	candidates []*Document // verified: the listed version and the unlisted ones, ascending
	listedErr  error       // what is wrong with the listed version
	next       int64       // the version to look for next
	found      bool        // find has ended

	// What visit has decided in this pass.
	visited  bool
	err      error     // what is wrong with the listed version or, if doc is nil, with all
	doc      *Document // the candidate that counts; nil if none does
	children []*node
	buffer   []*node // for children
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
func (a *Assembly) judgeTargets() error {
	a.asked = map[string]bool{}
	for _, role := range a.repo.Roles {
		a.asked[role] = role != tufmeta.Timestamp && role != tufmeta.Snapshot
	}
	if a.top == nil {
		a.top = &node{role: a.root().Roles[tufmeta.Targets]}
		for i := len(a.roots) - 2; i >= 0; i-- {
			a.top.earlier = append(a.top.earlier, a.roots[i].Roles[tufmeta.Targets])
		}
	}
	a.pass++
	a.order, a.repo.Warnings = a.order[:0], nil
	if err := a.find(a.top); err != nil {
		return err
	}
	for {
		for _, n := range slices.Concat([]*node{a.top}, a.order) {
			n.visited, n.doc, n.children = false, nil, nil
		}
		if err := a.visit(a.top); err != nil {
			return err
		}
		n := a.misled()
		if n == nil {
			break
		}
		n.drop(n.doc)
	}
	a.repo.targets = a.counting()
	a.repo.Warnings = unrepeated(slices.Concat(a.notes, a.repo.Warnings))
	return nil
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

// drop removes a document from the candidates.
func (n *node) drop(d *Document) {
	n.candidates = slices.DeleteFunc(n.candidates, func(candidate *Document) bool { return candidate == d })
}

// misled returns a node whose unlisted version must not be accepted, after a warning, nil if there
// is none. It delegates to a name that is another role's too. The other role's document is the one
// that is listed, and clients that come this way reject it.
func (a *Assembly) misled() *node {
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
				a.notes = append(a.notes, ignoring(n, n.doc.Version(), fmt.Errorf(
					"it delegates to %s by keys that have not signed what is listed for that name", child.role.Name)))
				return n
			}
		}
	}
	return nil
}

// counting returns the nodes that count, each name once, those nearest to targets first. A role
// that is delegated to from several places is signed for the nearest.
func (a *Assembly) counting() []*node {
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

// ignoring says that an unlisted version is not accepted.
func ignoring(n *node, version int64, reason error) string {
	return fmt.Sprintf("ignoring unlisted version %d of role %s: %v", version, n.role.Name, reason)
}

// find gathers the candidates of a role: the version that the snapshot lists, and the unlisted ones
// after it. A file that does not verify is no candidate. Once found, they stay.
func (a *Assembly) find(n *node) error {
	if n.found {
		return nil
	}
	info, listed := a.repo.Snapshot.verified.Listed(n.role.Name)
	if n.next == 0 {
		n.listed, n.taken = info.Version, info.Version
		var err error
		switch {
		case !a.layout.Consistent:
			err = a.findOnly(n, info)
		case listed:
			err = a.findListed(n, info)
		}
		if err != nil {
			if a.layout.Consistent && !a.in.ListedOnly { // it is read at the same time
				_, _ = a.file(n.role.Name, n.listed+1, repofiles.Next, n.role)
			}
			return err
		}
		n.next = n.listed + 1
	}
	if a.layout.Consistent && !a.in.ListedOnly {
		if err := a.findUnlisted(n); err != nil {
			return err
		}
	}
	n.found = true
	return nil
}

// findListed finds the version that the snapshot lists.
func (a *Assembly) findListed(n *node, info tufmeta.FileInfo) error {
	name := n.role.Name
	f, err := a.listed(name, info.Version, n.role)
	if err == nil && !f.Exists() {
		err = a.fileError(name, info.Version, errNotFound)
	}
	if err == nil {
		if err = info.Check(f.Document); err == nil {
			err = n.add(f, n.earlier)
		}
		if err != nil {
			err = a.reject(name, f, err)
		} else {
			f.Settle()
		}
	}
	n.listedErr, err = Untrusted(err)
	return err
}

// findUnlisted finds the versions after the one that the snapshot lists.
func (a *Assembly) findUnlisted(n *node) error {
	name := n.role.Name
	for ; ; n.next++ {
		version := n.next
		if version > n.listed+maxAhead {
			a.notes = append(a.notes, fmt.Sprintf("role %s: more than %d files after version %d: the rest is not read",
				name, maxAhead, n.listed))
			return nil
		}
		f, err := a.file(name, version, repofiles.Next, n.role)
		if err != nil { // where there were some, there may be as many again
			for more := version + 1; more < 2*version-n.listed-1 && more <= n.listed+maxAhead; more++ {
				_, _ = a.file(name, more, repofiles.Next, n.role)
			}
			return err
		}
		if !f.Exists() {
			return nil
		}
		if errors.Is(f.Err, storage.ErrInvalidKey) { // no version can be there
			n.listedErr = a.fileError(name, version, f.Err)
			return nil
		}
		n.taken = max(n.taken, version)
		if f.Err != nil {
			err = a.fileError(name, version, f.Err)
		} else if err = n.add(f, nil); err != nil {
			err = a.reject(name, f, err)
		}
		if err != nil {
			a.notes = append(a.notes, ignoring(n, version, err))
		}
	}
}

// findOnly is find without consistent snapshots: there is one file, which is the listed version or
// a later one.
func (a *Assembly) findOnly(n *node, info tufmeta.FileInfo) error {
	name := n.role.Name
	f, err := a.listed(name, 0, n.role)
	if err == nil && !f.Exists() {
		if n.listed != 0 {
			n.listedErr = a.fileError(name, n.listed, errNotFound)
		}
		return nil
	}
	if err == nil {
		n.taken = max(n.taken, f.Version())
		if err = a.checkListed(info, f); err == nil {
			earlier := n.earlier
			if f.Version() != info.Version {
				earlier = nil // holders of replaced keys upload nothing any more
			}
			err = n.add(f, earlier)
		}
		if err != nil {
			err = a.reject(name, f, err)
		}
	}
	n.listedErr, err = Untrusted(err)
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
