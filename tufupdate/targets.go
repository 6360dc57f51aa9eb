package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

const (
	// maxParallel is how many files of one app are read, signed or written at the same time.
	maxParallel = 32
	// maxAhead is how many files are looked at beyond the one that is listed. Whoever uploads
	// documents leaves a few at most.
	maxAhead = 64
	// large is the size in bytes from which on it pays to read a file with two processors.
	large = 1 << 18
	// maxBins bounds what is enumerated of succinct roles, whose number is up to 2^32.
	maxBins = 1 << 16
)

// A tree is the targets roles of a repository that a roll has to do with. A roll of the snapshot
// visits targets and all roles that are delegated to from there, since their holders may have
// uploaded new documents. Of bins, which may be many, it visits only those that it is to sign,
// those whose keys are offline, and those that a new document of their delegator declares anew.
type tree struct {
	*published
	keys  *keyring
	asked map[string]bool  // what is to be signed: names of roles, and prefixes of bins
	every bool             // visit every role
	nodes map[string]*node // by name and keys, so that a role that is delegated to twice is read once
	root  *node
}

// newTree returns the tree of a roll that is to sign these roles; those that are no targets roles
// do not matter.
func newTree(p *published, ring *keyring, roles []string) *tree {
	t := &tree{published: p, keys: ring, asked: map[string]bool{}, nodes: map[string]*node{}}
	for _, role := range roles {
		t.asked[role] = role != tufmeta.Timestamp && role != tufmeta.Snapshot
	}
	return t
}

// A node is one targets role.
type node struct {
	role   *tufmeta.Role
	by     *node // who delegates to it; nil for targets
	listed int64 // its version in the snapshot; 0 if it has none
	taken  int64 // the highest version that a file was found for, whatever it holds
	bin    bool

	candidates []*document // verified: what is listed, and what was uploaded since, ascending
	problem    error       // what is wrong with what is listed

	visited  bool
	doc      *document // the candidate that counts; nil if none does
	children []*node
}

// fresh reports whether the document is one that the snapshot does not list yet.
func (n *node) fresh() bool { return n.doc != nil && n.doc.Version() > n.listed }

// binPrefix returns what the names of all bins of a delegation begin with, "" if the name is not
// such a one.
func binPrefix(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i < 0 || isTopLevel(name[:i]) { // asked for, those are the roles of that name
		return ""
	}
	return name[:i]
}

func (n *node) prefix() string {
	if !n.bin {
		return ""
	}
	return binPrefix(n.role.Name)
}

// isAsked reports whether a roll is to sign the role.
func (t *tree) isAsked(n *node) bool { return t.asked[n.role.Name] || n.bin && t.asked[n.prefix()] }

// walk visits the targets roles, beginning with targets.
func (t *tree) walk(ctx context.Context) error {
	role := t.published.root().Roles[tufmeta.Targets]
	var earlier []*tufmeta.Role
	for i := len(t.roots) - 2; i >= 0; i-- {
		earlier = append(earlier, t.roots[i].Roles[tufmeta.Targets])
	}
	t.root = &node{role: role}
	if err := t.find(ctx, t.root, earlier); err != nil {
		return err
	}
	for {
		if err := t.visit(ctx, t.root); err != nil {
			return err
		}
		n := t.misled()
		if n == nil {
			return nil
		}
		n.candidates = slices.DeleteFunc(n.candidates, func(d *document) bool { return d == n.doc })
		for _, n := range t.nodes {
			n.visited, n.doc, n.children = false, nil, nil
		}
		t.root.visited, t.root.doc, t.root.children = false, nil, nil
	}
}

// misled returns a node whose document must not be taken in, after a warning, nil if there is none:
// it delegates to a name that is another's too, and the other's document is the one that is listed,
// which clients that come this way reject.
func (t *tree) misled() *node {
	nodes := t.all()
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
			if _, err := other.doc.file.verify(child.role); err != nil {
				t.warn("role %s: version %d is not taken in: it delegates to %s by keys that are not those by which that is listed",
					n.role.Name, n.doc.Version(), child.role.Name)
				return n
			}
		}
	}
	return nil
}

// find reads the files of a role: the one that the snapshot lists, and those that were uploaded
// since. What does not verify is no candidate; only a failure to read is an error.
func (t *tree) find(ctx context.Context, n *node, earlier []*tufmeta.Role) error {
	name := n.role.Name
	info, listed := t.snapshot.Listed(name)
	n.listed, n.taken = info.Version, info.Version
	if !t.consistent {
		return t.findUnversioned(ctx, n, info, earlier)
	}
	if !t.listedOnly {
		t.ahead(ctx, t.key(name, n.listed+1))
	}
	if listed {
		d, err := t.read(ctx, name, info.Version)
		if errors.Is(err, storage.ErrNotFound) {
			err = t.absent(name, info.Version)
		}
		if err == nil {
			if err = info.Check(d.Document); err == nil {
				err = n.add(d, earlier)
			}
			if err != nil {
				err = t.reject(name, d, err)
			} else {
				d.settled.Store(true)
			}
		}
		if n.problem, err = untrusted(err); err != nil {
			return err
		}
	}
	for version := n.listed + 1; !t.listedOnly; version++ {
		if version > n.listed+maxAhead {
			t.warn("role %s: more than %d files after version %d: the rest is not looked at", name, maxAhead, n.listed)
			return nil
		}
		d, err := t.readNext(ctx, name, version)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if errors.Is(err, storage.ErrInvalidKey) { // no version can be there
			n.problem = err
			return nil
		}
		n.taken = max(n.taken, version)
		if err == nil {
			if d.Version() != version {
				err = fmt.Errorf("has version %d", d.Version())
			} else {
				err = n.add(d, nil)
			}
			if err != nil {
				err = t.reject(name, d, err)
			}
		}
		problem, err := untrusted(err)
		if err != nil {
			return err
		}
		if problem != nil {
			t.warn("role %s: version %d is not taken in: %v", name, version, problem)
			t.discard(t.key(name, version))
		}
	}
	return nil
}

// findUnversioned is find without consistent snapshots: there is just one file, which is the one
// that is listed or a later one.
func (t *tree) findUnversioned(ctx context.Context, n *node, info tufmeta.FileInfo, earlier []*tufmeta.Role) error {
	name := n.role.Name
	d, err := t.read(ctx, name, 0)
	if errors.Is(err, storage.ErrNotFound) {
		if n.listed != 0 {
			n.problem = t.absent(name, n.listed)
		}
		return nil
	}
	if err == nil {
		n.taken = max(n.taken, d.Version())
		if err = t.checkListed(info, d); err == nil {
			if d.Version() != info.Version {
				earlier = nil // who has lost a role's keys uploads nothing any more
			}
			err = n.add(d, earlier)
		}
		if err != nil {
			err = t.reject(name, d, err)
		}
	}
	n.problem, err = untrusted(err)
	return err
}

// untrusted tells an error that lies in what the store holds from a failure to read it.
func untrusted(err error) (problem, failure error) {
	if _, ok := errors.AsType[*VerificationError](err); ok {
		return err, nil
	}
	return nil, err
}

// add makes a file a candidate if it verifies by the role, or by one that the role replaced.
func (n *node) add(d *file, earlier []*tufmeta.Role) error {
	if len(d.Bytes()) > large {
		go func() { _, _ = d.delegations() }() // which are asked for next; meanwhile the signature takes as long
	}
	v, err := d.verify(n.role)
	if err == nil {
		n.candidates = append(n.candidates, &document{Verified: v, file: d})
		return nil
	}
	for _, role := range earlier {
		if role == nil || role.Equal(n.role) {
			continue
		}
		if v, earlierErr := d.verify(role); earlierErr == nil {
			n.candidates = append(n.candidates, &document{Verified: v, file: d, rotated: true})
			return nil
		}
	}
	return err
}

// visit decides which candidate counts: the newest whose delegated roles are all there. What is
// listed counts in any case, since clients have it already.
func (t *tree) visit(ctx context.Context, n *node) error {
	if n.visited {
		return nil
	}
	n.visited = true
	var listed *tufmeta.Delegations
	if len(n.candidates) > 0 && n.candidates[0].Version() == n.listed {
		listed, _ = n.candidates[0].file.delegations() // an error comes up below
	}
	for _, d := range slices.Backward(n.candidates) {
		fresh := d.Version() > n.listed
		if fresh {
			unwanted, err := t.unwanted(ctx, n, d)
			if err != nil {
				return err
			}
			if unwanted != "" {
				t.warn("role %s: version %d is not taken in: %s", n.role.Name, d.Version(), unwanted)
				continue
			}
		}
		children, err := t.delegated(ctx, n, d, fresh, listed)
		if problem, err := untrusted(err); err != nil {
			return err
		} else if problem != nil {
			if fresh {
				t.warn("role %s: version %d is not taken in: %v", n.role.Name, d.Version(), problem)
				continue
			}
			t.warn("role %s: version %d: %v", n.role.Name, d.Version(), problem)
			n.problem = problem
		}
		if fresh {
			missing, err := t.missing(ctx, children)
			if err != nil {
				return err
			}
			if missing != nil {
				t.warn("role %s: version %d is not taken in: %v", n.role.Name, d.Version(), missing)
				continue
			}
		}
		n.doc, n.children = d, children
		return nil
	}
	if n.problem == nil {
		n.problem = fmt.Errorf("role %s: there is no file that can be trusted", n.role.Name)
	}
	return nil
}

// delegated finds and visits the roles that a document of n delegates to, as far as the tree needs
// them. A VerificationError says that the delegations make no sense.
func (t *tree) delegated(ctx context.Context, n *node, d *document, fresh bool, listed *tufmeta.Delegations) ([]*node,
	error) {
	delegations, err := d.file.delegations()
	if err == nil && delegations.Len() > maxBins {
		err = fmt.Errorf("delegates to %d roles, more than %d", delegations.Len(), maxBins)
	}
	if err != nil {
		return nil, t.problem(n, d, err)
	}
	roles, err := t.needed(ctx, delegations, fresh, listed)
	if err != nil {
		return nil, err
	}
	var children []*node
	var found []string
	group, findCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for _, role := range roles {
		if findCtx.Err() != nil {
			break
		}
		key := fmt.Sprintf("%q %s", role.Name, role.Fingerprint())
		if known := t.nodes[key]; known != nil {
			children = append(children, known)
			continue
		}
		child := &node{role: role, by: n, bin: delegations.IsBin(role.Name)}
		t.nodes[key] = child
		children = append(children, child)
		found = append(found, key)
		group.Go(func() error {
			if err := t.find(findCtx, child, []*tufmeta.Role{before(listed, role)}); err != nil || !fresh ||
				len(child.candidates) > 0 {
				return err
			}
			return t.unusable(n, d, child) // the document is not taken in, however many others there are to look for
		})
	}
	if err := group.Wait(); err != nil {
		for _, key := range found {
			delete(t.nodes, key) // some have been looked for in part
		}
		return nil, err
	}
	for _, child := range children {
		if err := t.visit(ctx, child); err != nil {
			return nil, err
		}
	}
	return children, nil
}

// problem says what is wrong with a document of n.
func (t *tree) problem(n *node, d *document, err error) error {
	return &VerificationError{App: t.app, Role: n.role.Name, Version: d.Version(), Key: t.key(n.role.Name, d.Version()),
		Err: err}
}

// unusable says that a document of n cannot be taken in, since clients could not use its delegation
// to child.
func (t *tree) unusable(n *node, d *document, child *node) error {
	problem := child.problem
	if problem == nil {
		problem = t.absent(child.role.Name, 1)
	}
	return t.problem(n, d, fmt.Errorf("delegated role %s: %w", child.role.Name, problem))
}

// before returns a role as the listed document of its delegator declares it, nil if it does not.
func before(listed *tufmeta.Delegations, role *tufmeta.Role) *tufmeta.Role {
	if listed == nil {
		return nil
	}
	return listed.Role(role.Name)
}

// needed returns the delegated roles that have to be visited. Of bins, of which there may be very
// many, those are few. Where it is not known whether bins are online, nothing is taken in for them,
// so there is no need to look.
func (t *tree) needed(ctx context.Context, all *tufmeta.Delegations, fresh bool,
	listed *tufmeta.Delegations) (roles []*tufmeta.Role, err error) {
	if bins := all.Succinct(); bins != nil && !fresh && !t.every && !t.asked[bins.Name] {
		custody, err := t.keys.custody(ctx, bins, bins.Name)
		if err != nil {
			return nil, err
		}
		if custody != custodyOffline {
			for _, name := range slices.Sorted(maps.Keys(t.asked)) {
				if role := all.Role(name); role != nil && t.asked[name] {
					roles = append(roles, role)
				}
			}
			return roles, nil
		}
	}
	for role := range all.All() {
		yes, err := t.needs(ctx, role, all.IsBin(role.Name), fresh, listed)
		if err != nil {
			return nil, err
		}
		if yes {
			roles = append(roles, role)
		}
	}
	return roles, nil
}

// needs reports whether a delegated role has to be visited.
func (t *tree) needs(ctx context.Context, role *tufmeta.Role, bin, fresh bool, listed *tufmeta.Delegations) (bool,
	error) {
	if t.every || !bin || t.asked[role.Name] || t.asked[binPrefix(role.Name)] {
		return true, nil
	}
	if fresh {
		if _, known := t.snapshot.Listed(role.Name); !known {
			return true, nil
		}
		if earlier := before(listed, role); earlier == nil || !earlier.Equal(role) {
			return true, nil
		}
	}
	custody, err := t.keys.custody(ctx, role, binPrefix(role.Name))
	return custody == custodyOffline, err
}

// missing returns why clients could not use the delegations to these roles, nil if they can.
func (t *tree) missing(ctx context.Context, children []*node) (error, error) {
	for _, child := range children {
		if child.doc == nil && child.visited && len(child.candidates) > 0 && child.problem == nil {
			continue // further up on this path: it is being decided on
		}
		if child.doc == nil {
			return fmt.Errorf("delegated role %s: %w", child.role.Name, child.problem), nil
		}
		if child.doc.rotated {
			signable, err := t.signable(ctx, child)
			if err != nil {
				return nil, err
			}
			if !signable {
				return fmt.Errorf("delegated role %s is signed by keys that it no longer has", child.role.Name), nil
			}
		}
	}
	return nil, nil
}

// all returns the nodes that count, each name once, those nearest to targets first: a role that is
// delegated to from several places is signed for the nearest.
func (t *tree) all() []*node {
	var nodes []*node
	names := map[string]bool{}
	for level := []*node{t.root}; len(level) > 0; {
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
