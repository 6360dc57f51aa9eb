package published

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// An Input is what an Assembly is to find out.
type Input struct {
	App   string
	Roots []*tufmeta.RootDocument // trusted, each followed by the next; nil: trust the first one seen
	Marks repofiles.Marks         // what was seen before
	Now   time.Time

	Roles      []string // to be signed, Default among them for the roles of a request that names none
	Depth      Depth
	Survey     bool // nothing is to be signed: judge every targets role, whether root has expired or not
	ListedOnly bool // leave unlisted versions alone
	Ahead      bool // name files that may be needed later
}

// A Depth says how far down a repository is judged.
type Depth int

// The depths. Targets includes the delegated roles that matter for what is to be signed.
const (
	ToTimestamp Depth = iota
	ToSnapshot
	ToTargets
)

// Files are the files of an app that were read so far.
type Files interface {
	// File returns a file, and reports false if it was not read yet.
	File(r repofiles.Request) (*repofiles.File, bool)
}

// Custody answers questions about keys that were asked so far.
type Custody interface {
	// Known returns an answer, and reports false if the question was not asked yet.
	Known(q custody.Question) (custody.Holding, bool)
}

// A Need is what an Assembly has to know before it can go on.
type Need struct {
	Files []repofiles.Request
	Roles []custody.Question

	// Ahead are files that it may need later. Reading them at the same time saves round trips.
	Ahead []repofiles.Request
}

// Pending reports whether anything is needed.
func (n Need) Pending() bool { return len(n.Files)+len(n.Roles) > 0 }

// errPending says that a judgement waits for what is needed.
var errPending = errors.New("pending")

// An Assembly judges an app's repository from the trusted root down. It is for one set of files,
// which do not change meanwhile, and for one goroutine.
type Assembly struct {
	in     Input
	files  Files
	ring   Custody
	layout repofiles.Layout
	roots  []*tufmeta.RootDocument // as far as they were followed
	repo   *Repository
	need   Need

	asked map[string]bool     // what is to be signed: names of targets roles, and prefixes of bins
	top   *node               // targets
	nodes map[nodeKey]*node   // all that were ever met, with the files that were found
	order []*node             // those met in this pass of judgeTargets, each once
	pass  int                 // its number
	notes []string            // warnings about files
	unfit map[*Document]error // unlisted versions that can never be accepted, and why

	mattered map[*Document][]*tufmeta.Role // what mattering has returned
}

// New returns an Assembly that has judged nothing yet.
func New(in Input, files Files, ring Custody) *Assembly {
	a := &Assembly{
		in: in, files: files, ring: ring, roots: slices.Clone(in.Roots),
		nodes: map[nodeKey]*node{}, unfit: map[*Document]error{}, mattered: map[*Document][]*tufmeta.Role{},
	}
	a.repo = &Repository{judge: a, holdings: map[string]custody.Holding{}}
	a.layout.App = in.App
	return a
}

// Judge judges as far as the files and answers allow. If the Need is pending, call it again with
// what it needs. Otherwise the Repository is complete, or holds what could be judged before the
// error.
//
// Errors are a *FileError (a file cannot be trusted), ErrNotBootstrapped, ErrRootExpired,
// ErrUnknownRole, and why a role that is to be signed cannot be (see custody.Holding).
func (a *Assembly) Judge() (*Repository, Need, error) {
	a.need = Need{}
	err := a.run()
	a.repo.Layout = a.layout
	if !errors.Is(err, errPending) {
		return a.repo, Need{}, err
	}
	if !a.need.Pending() {
		return a.repo, Need{}, errors.New("judging: it waits for nothing")
	}
	if a.in.Ahead {
		a.foresee()
	}
	return a.repo, a.need, nil
}

// root returns the newest root that was found.
func (a *Assembly) root() *tufmeta.RootDocument { return a.roots[len(a.roots)-1] }

func (a *Assembly) run() error {
	if a.repo.Roots == nil {
		if err := a.followRoots(); err != nil {
			return err
		}
	}
	if !a.in.Survey {
		if err := checkExpiry(a.root(), a.in.Now); err != nil {
			return err
		}
	}
	if a.repo.Timestamp == nil {
		if err := a.judgeTimestamp(); err != nil {
			return err
		}
	}
	if !a.in.Survey {
		if err := a.resolveRoles(); err != nil {
			return err
		}
	}
	if a.in.Depth < ToSnapshot {
		return nil
	}
	if a.repo.Snapshot == nil {
		if err := a.judgeSnapshot(); err != nil {
			return err
		}
	}
	if a.in.Depth < ToTargets {
		if a.in.Survey || !a.repo.Snapshot.replaced {
			return nil
		}
		if err := a.require(tufmeta.Snapshot); err != nil { // clients reject it until it is signed anew
			return err
		}
	}
	if err := a.judgeTargets(); err != nil {
		return err
	}
	if a.in.Survey {
		return nil
	}
	return a.chooseTargets()
}

// file returns a role's file. It is errPending if the file was not read yet.
func (a *Assembly) file(role string, version int64, kind repofiles.Kind, by *tufmeta.Role) (*repofiles.File, error) {
	r := repofiles.Request{Name: a.layout.Name(role, version), Kind: kind, By: by}
	if kind == repofiles.Next {
		r.Version = version
	}
	f, known := a.files.File(r)
	if !known {
		a.need.Files = append(a.need.Files, r)
		return nil, errPending
	}
	return f, nil
}

// listed returns the file of a role that is listed with a version or, where names carry no
// versions, the one that there is. It may not exist. A file that holds no document is a *FileError.
func (a *Assembly) listed(role string, version int64, by *tufmeta.Role) (*repofiles.File, error) {
	kind := repofiles.Current
	if a.layout.Versioned(role) {
		kind = repofiles.Listed
	}
	f, err := a.file(role, version, kind, by)
	if err != nil || !f.Exists() || f.Err == nil {
		return f, err
	}
	return nil, a.fileError(role, version, f.Err)
}

// holding returns who signs for a role. It is errPending if the provider was not asked yet, and the
// provider's error if it cannot say who signs for a top-level role. For delegated roles that is
// their own trouble, and the state is Unknown.
func (a *Assembly) holding(role *tufmeta.Role, bins string) (custody.Holding, error) {
	q := custody.Question{Role: role, Bins: bins}
	h, known := a.ring.Known(q)
	if !known {
		a.need.Roles = append(a.need.Roles, q)
		return h, errPending
	}
	if h.State == custody.Unknown && isTopLevel(role.Name) {
		return h, h.Err
	}
	return h, nil
}

// fileError says what is wrong with a file by its role and version.
func (a *Assembly) fileError(role string, version int64, err error) *FileError {
	return &FileError{Role: role, Version: version, File: a.layout.Name(role, version), Err: err}
}

// reject says that a file that holds a document cannot be trusted.
func (a *Assembly) reject(role string, f *repofiles.File, err error) *FileError {
	return &FileError{Role: role, Version: f.Version(), File: f.Name, Err: err}
}

// verify verifies a file of a top-level role by the newest root or, if its keys were replaced
// since, by an earlier root.
func (a *Assembly) verify(role string, f *repofiles.File) (*Document, error) {
	current := a.root().Roles[role]
	v, err := f.Verify(current)
	if err == nil {
		return &Document{verified: v, file: f}, nil
	}
	for i := len(a.roots) - 2; i >= 0; i-- {
		earlier := a.roots[i].Roles[role]
		if earlier.Equal(current) {
			continue
		}
		if v, earlierErr := f.Verify(earlier); earlierErr == nil {
			return &Document{verified: v, file: f, replaced: true}, nil
		}
	}
	return nil, a.reject(role, f, err)
}

// judgeTimestamp judges the timestamp. It is ErrNotBootstrapped if there is none.
func (a *Assembly) judgeTimestamp() error {
	role := a.root().Roles[tufmeta.Timestamp]
	f, err := a.listed(tufmeta.Timestamp, 0, role)
	if err != nil {
		return err
	}
	if !f.Exists() {
		return fmt.Errorf("it has no timestamp: %w", ErrNotBootstrapped)
	}
	d, err := a.verify(tufmeta.Timestamp, f)
	if err != nil {
		return err
	}
	if err := checkMark(a.in.Marks[tufmeta.Timestamp], d.verified, role); err != nil {
		return a.reject(tufmeta.Timestamp, f, err)
	}
	a.repo.Timestamp = d
	return nil
}

// judgeSnapshot judges the snapshot that the timestamp lists. Without consistent snapshots it may
// be a later one: a writer may have been stopped between the two.
func (a *Assembly) judgeSnapshot() error {
	role := a.root().Roles[tufmeta.Snapshot]
	info, _ := a.repo.Timestamp.verified.Listed(tufmeta.Snapshot) // every timestamp has it
	f, err := a.listed(tufmeta.Snapshot, info.Version, role)
	if err != nil {
		return err
	}
	if !f.Exists() {
		return a.fileError(tufmeta.Snapshot, info.Version, errNotFound)
	}
	d, err := a.verify(tufmeta.Snapshot, f)
	if err != nil {
		return err
	}
	if err := a.checkListed(info, f); err != nil {
		return a.reject(tufmeta.Snapshot, f, err)
	}
	f.Settle()
	if err := checkMark(a.in.Marks[tufmeta.Snapshot], d.verified, role); err != nil {
		return a.reject(tufmeta.Snapshot, f, err)
	}
	a.repo.Snapshot = d
	return nil
}

// checkListed checks that a file is the one that is listed, or, where names carry no version, one
// that was written over it since.
func (a *Assembly) checkListed(info tufmeta.FileInfo, f *repofiles.File) error {
	if !a.layout.Consistent && f.Version() > info.Version {
		return nil
	}
	return info.Check(f.Document)
}

// resolveRoles puts the default roles in place of none, and makes sure that the top-level roles
// that are to be signed are online.
func (a *Assembly) resolveRoles() error {
	top := a.root().Roles
	roles := slices.Clone(a.in.Roles)
	if slices.Contains(roles, Default) {
		h, err := a.holding(top[tufmeta.Targets], "")
		if err != nil {
			return err
		}
		roles = append(roles, tufmeta.Snapshot, tufmeta.Timestamp)
		if h.State == custody.Online {
			roles = append(roles, tufmeta.Targets)
		}
		roles = slices.DeleteFunc(Unique(roles), func(role string) bool { return role == Default })
	}
	a.repo.Roles = roles
	needed := []string{tufmeta.Timestamp}
	if !IsTimestampOnly(roles) {
		needed = append(needed, tufmeta.Snapshot)
	}
	if slices.Contains(roles, tufmeta.Targets) {
		needed = append(needed, tufmeta.Targets)
	}
	return a.require(needed...)
}

// require makes sure that top-level roles are online.
func (a *Assembly) require(roles ...string) error {
	var pending error
	for _, role := range roles {
		h, err := a.holding(a.root().Roles[role], "")
		switch {
		case errors.Is(err, errPending):
			pending = err
		case h.Err != nil:
			return h.Err
		}
		a.repo.holdings[role] = h
	}
	return pending
}

// Unique returns roles sorted, each once, so that equal requests look equal. None at all is
// Default.
func Unique(roles []string) []string {
	if len(roles) == 0 {
		return []string{Default}
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	return slices.Compact(roles)
}
