package published

import (
	"errors"
	"slices"
	"time"

	"github.com/tufonline/tufonline/internal/custody"
	"github.com/tufonline/tufonline/internal/repofiles"
	"github.com/tufonline/tufonline/internal/tufmeta"
)

// An Input is what an Assembly is to find out.
type Input struct {
	App    string
	Pinned *tufmeta.RootDocument   // nil: trust the first one seen
	Roots  []*tufmeta.RootDocument // trusted, each followed by the next, from the pinned one if there is one
	Marks  repofiles.Marks         // what is remembered
	Word   Word                    // of the operator
	Now    time.Time

	Roles    []string // to be signed, Default among them for the roles of a request that names none
	Depth    Depth
	Survey   bool // nothing is to be signed: judge every targets role, whether root has expired or not
	Thorough bool // in a survey to uploads, look for those of bins too, and beyond a missing number
	Ahead    bool // name files that may be needed later
	Cached   bool // but fewer, since most of those that will be needed are cached
}

// A Depth says how far down a repository is judged.
type Depth int

// The depths. Targets includes the delegated roles that matter for what is to be signed. A survey
// to targets judges what is listed. One to uploads judges unlisted versions too, and asks for the
// keys of all roles.
const (
	ToTimestamp Depth = iota
	ToSnapshot
	ToTargets
	ToUploads // as ToTargets for a roll
)

// Files are the files of an app that were read so far.
type Files interface {
	// File returns a file, and reports false if it was not read yet.
	File(r repofiles.Request) (*repofiles.File, bool)
	// Names returns the names of all files of the app, and reports false if the store was not
	// listed yet.
	Names() (repofiles.Names, bool)
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
	Names bool // the names of all files

	// Ahead are files that it may need later. Reading them at the same time saves round trips.
	Ahead []repofiles.Request
}

// Pending reports whether anything is needed.
func (n Need) Pending() bool { return len(n.Files)+len(n.Roles) > 0 || n.Names }

// errPending says that a judgement waits for what is needed.
var errPending = errors.New("pending")

// An Assembly judges an app's repository from the trusted root down. It is for one set of files,
// which do not change meanwhile, and for one goroutine.
type Assembly struct {
	in     Input
	files  Files
	ring   Custody
	layout repofiles.Layout        // in which files are read
	roots  []*tufmeta.RootDocument // as far as they were followed
	repo   *Repository
	need   Need

	timestamp *repofiles.File
	foreign   bool // no root that was followed has the layout in which files are read

	candidates []*repofiles.File  // for the snapshot, where the published one does not count; nil behind the last
	floors     map[string]int64   // what they list, and are not whole, by role
	whole      bool               // all roles are judged, to see whether a snapshot is whole
	made       bool               // a snapshot is made
	old        *repofiles.File    // what the timestamp leads to, if that is known
	index      map[string][]int64 // versions in the names of the app's files, by role
	plain      map[string]bool    // names of the app's files that may be a role's without a version

	asked     map[string]bool // what is to be signed: names of targets roles, and prefixes of bins
	order     []*node         // targets roles that matter, those nearest to targets first
	nodes     map[string]*node
	declared  map[string]*tufmeta.Role  // by those roles, without succinct bins
	succinct  []*tufmeta.Delegations    // likewise, with succinct bins
	fileNames map[string]string         // names that would be another role's file names
	finds     map[string]*find          // what was found of each role
	unfit     map[*repofiles.File]error // unlisted versions that can never be accepted, and why
	tried     map[string]bool           // roles below an unlisted version that is being judged
	prefixes  map[string]*node          // who declares bins, by their prefix
	owners    map[string]string         // which role declares a role, by what is listed
	onlyOwned bool                      // what is listed is judged, and nothing else
	shares    *shares                   // of keys, once all roles are known
	notes     []string                  // warnings about files
}

// New returns an Assembly that has judged nothing yet.
func New(in Input, files Files, ring Custody) *Assembly {
	a := &Assembly{
		in: in, files: files, ring: ring, roots: slices.Clone(in.Roots),
		finds: map[string]*find{}, unfit: map[*repofiles.File]error{}, floors: map[string]int64{},
	}
	a.repo = &Repository{judge: a, holdings: map[string]custody.Holding{}, plain: map[string]*repofiles.File{}}
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
	if a.timestamp == nil {
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
	if a.repo.Snapshot == nil && a.repo.Made == nil {
		if err := a.judgeSnapshot(); err != nil {
			return err
		}
	}
	if a.in.Depth < ToTargets && (a.in.Survey || a.repo.Made == nil && !a.switching()) {
		a.warnDerived()
		return nil
	}
	if err := a.judgeTargets(); err != nil {
		return err
	}
	if a.in.Survey {
		return nil
	}
	if err := a.chooseTargets(); err != nil {
		return err
	}
	if err := a.judgeLayouts(); err != nil {
		return err
	}
	if a.signsSnapshot() {
		if err := a.checkListedMarks(); err != nil {
			return err
		}
		if err := a.require(tufmeta.Snapshot); err != nil {
			return err
		}
	}
	a.warnDerived()
	return nil
}

// warnDerived warns that a published timestamp or snapshot does not count.
func (a *Assembly) warnDerived() {
	if a.repo.Derived != nil {
		a.repo.warn("%v: a new one takes its place", a.repo.Derived)
	}
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
// provider's error if it cannot say who signs for a top-level role that is to be signed. Otherwise
// that is the role's own trouble, and the state is Unknown.
func (a *Assembly) holding(role *tufmeta.Role, bins string) (custody.Holding, error) {
	q := custody.Question{Role: role, Bins: bins}
	h, known := a.ring.Known(q)
	if !known {
		a.need.Roles = append(a.need.Roles, q)
		return h, errPending
	}
	if h.State == custody.Unknown && isTopLevel(role.Name) && !a.in.Survey {
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
		if !errors.Is(h.Err, custody.ErrTargetsOffline) { // by decision, or for want of keys
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
