package tufupdate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A published is a repository as it was read and verified: the only place where documents to be
// signed come from.
type published struct {
	files
	roots     []*tufmeta.RootDocument // from the pinned one to the newest
	timestamp *document
	snapshot  *document       // nil until loaded
	seen      map[string]mark // what was known, by role, before anything was read

	mu       sync.Mutex
	warnings []string
}

// A document is a verified file.
type document struct {
	*tufmeta.Verified
	file *file
	// rotated says that it verifies only by keys that its role no longer has. It is trusted for
	// what it says, but clients reject it.
	rotated bool
}

func (p *published) root() *tufmeta.RootDocument { return p.roots[len(p.roots)-1] }

func (p *published) warn(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if warning := fmt.Sprintf(format, args...); !slices.Contains(p.warnings, warning) {
		p.warnings = append(p.warnings, warning)
	}
}

// loadRoots is followRoots for those who mean to sign: ErrRootExpired if the newest root has
// expired.
func (u *Updater) loadRoots(ctx context.Context, v *view) (*published, error) {
	p, err := u.followRoots(ctx, v)
	if err != nil {
		return nil, err
	}
	if expires := p.root().Expires(); !time.Now().Before(expires) {
		return nil, errorf(p.app, fmt.Sprintf("root version %d expired at %s", p.root().Version(),
			expires.Format(time.RFC3339)), ErrRootExpired)
	}
	return p, nil
}

// followRoots follows the roots from the one that is trusted to the newest (specification 5.3).
// ErrNotBootstrapped if there is no first root.
func (u *Updater) followRoots(ctx context.Context, v *view) (*published, error) {
	p := &published{files: files{view: v}, seen: u.trust.seen(v.app)}
	if v.known != nil {
		p.roots = slices.Clone(v.known.roots)
	}
	if len(p.roots) == 0 {
		first, err := u.firstRoot(ctx, p.files)
		if err != nil {
			return nil, err
		}
		p.roots = []*tufmeta.RootDocument{first}
	}
	p.consistent = p.root().Consistent
	p.readAhead(ctx)
	for window := int64(2); ; window *= 2 { // there may be many, so they are not read one after the other
		var keys []string
		for i := range window {
			keys = append(keys, p.key(tufmeta.Root, p.root().Version()+1+i))
		}
		v.ahead(ctx, keys...)
		more, err := p.follow(ctx, window)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if err := u.trust.follow(p.app, p.roots); err != nil {
		root := p.root()
		return nil, &VerificationError{App: p.app, Role: tufmeta.Root, Version: root.Version(),
			Key: p.key(tufmeta.Root, root.Version()), Err: err}
	}
	p.consistent = p.root().Consistent
	return p, nil
}

// follow follows up to n roots, and reports whether there were so many.
func (p *published) follow(ctx context.Context, n int64) (more bool, err error) {
	for range n {
		d, err := p.readNext(ctx, tufmeta.Root, p.root().Version()+1)
		if errors.Is(err, storage.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		next, err := p.root().Follow(d.Document)
		if err != nil {
			return false, p.reject(tufmeta.Root, d, err)
		}
		p.roots = append(p.roots, next)
	}
	return true, nil
}

// readAhead begins to read, while the roots are followed, what will be asked for afterwards.
// Nothing of it is trusted until that is done.
func (p *published) readAhead(ctx context.Context) {
	if p.trusting {
		return
	}
	f := p.files
	f.ahead(ctx, f.key(tufmeta.Timestamp, 0))
	if f.goal == tufmeta.Timestamp {
		return
	}
	go func() {
		timestamp, err := f.read(ctx, tufmeta.Timestamp, 0)
		if err != nil {
			return
		}
		info, _ := timestamp.Listed(tufmeta.Snapshot)
		f.ahead(ctx, f.key(tufmeta.Snapshot, info.Version))
		if f.goal == tufmeta.Snapshot {
			return
		}
		snapshot, err := f.read(ctx, tufmeta.Snapshot, info.Version)
		if err != nil || snapshot.Len() > maxParallel { // of so many, only some will be asked for
			return
		}
		for role, version := range snapshot.ListedRoles() {
			f.ahead(ctx, f.key(role, version))
			if !f.listedOnly {
				f.ahead(ctx, f.key(role, version+1))
			}
		}
	}()
}

// firstRoot returns the root that the app is trusted by.
func (u *Updater) firstRoot(ctx context.Context, f files) (*tufmeta.RootDocument, error) {
	root, err := u.configuredRoot(ctx, f)
	if err != nil {
		return nil, err
	}
	if u.config.Roots != nil { // whoever pins a root may pin a newer one; trust.follow sees to it that nothing goes back
		return root, nil
	}
	first, err := u.trust.begin(f.app, root.Verified)
	if err != nil {
		return nil, &VerificationError{App: f.app, Role: tufmeta.Root, Version: root.Version(),
			Key: f.key(tufmeta.Root, root.Version()), Err: err}
	}
	if first {
		u.log.WarnContext(ctx, "no root is pinned for the app: trusting the first one seen", "app", f.app, "role",
			tufmeta.Root,
			"version", root.Version(), "sha256", fmt.Sprintf("%x", sha256.Sum256(root.Bytes())))
	}
	return root, nil
}

// configuredRoot returns the pinned root, or the repository's first if none is pinned.
func (u *Updater) configuredRoot(ctx context.Context, f files) (*tufmeta.RootDocument, error) {
	if u.config.Roots == nil {
		f.ahead(ctx, f.key(tufmeta.Root, 2), f.key(tufmeta.Root, 3), f.key(tufmeta.Timestamp, 0))
		d, err := f.read(ctx, tufmeta.Root, 1)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, errorf(f.app, "it has no root", ErrNotBootstrapped)
		}
		if err != nil {
			return nil, err
		}
		root, err := tufmeta.ParseRoot(d.Document)
		if err != nil {
			return nil, f.reject(tufmeta.Root, d, err)
		}
		return root, nil
	}
	data, err := u.config.Roots(ctx, f.app)
	if err != nil {
		return nil, errorf(f.app, "pinned root", err)
	}
	d, err := tufmeta.Parse(data)
	if err != nil {
		return nil, errorf(f.app, "pinned root", err)
	}
	root, err := tufmeta.ParseRoot(d)
	if err != nil {
		return nil, errorf(f.app, "pinned root", err)
	}
	return root, nil
}

// verify verifies a file of a top-level role by the newest root or, if its keys were replaced
// since, by the root before that.
func (p *published) verify(role string, d *file) (*document, error) {
	current := p.root().Roles[role]
	v, err := d.verify(current)
	if err == nil {
		return &document{Verified: v, file: d}, nil
	}
	for i := len(p.roots) - 2; i >= 0; i-- {
		earlier := p.roots[i].Roles[role]
		if earlier.Equal(current) {
			continue
		}
		if v, earlierErr := d.verify(earlier); earlierErr == nil {
			return &document{Verified: v, file: d, rotated: true}, nil
		}
	}
	return nil, p.reject(role, d, err)
}

// loadTimestamp reads the timestamp. ErrNotBootstrapped if there is none.
func (u *Updater) loadTimestamp(ctx context.Context, p *published) error {
	d, err := p.read(ctx, tufmeta.Timestamp, 0)
	if errors.Is(err, storage.ErrNotFound) {
		return errorf(p.app, "it has no timestamp", ErrNotBootstrapped)
	}
	if err != nil {
		return err
	}
	if p.timestamp, err = p.verify(tufmeta.Timestamp, d); err != nil {
		return err
	}
	if err := p.seen[tufmeta.Timestamp].check(p.timestamp.Verified, p.root().Roles[tufmeta.Timestamp]); err != nil {
		return p.reject(tufmeta.Timestamp, d, err)
	}
	u.trust.remember(p.app, p.timestamp.Verified, p.timestamp.rotated)
	return nil
}

// loadSnapshot reads the snapshot that the timestamp lists. Without consistent snapshots it may be
// a later one, where a writer has been stopped between the two.
func (u *Updater) loadSnapshot(ctx context.Context, p *published) error {
	info, _ := p.timestamp.Listed(tufmeta.Snapshot) // every timestamp has it
	d, err := p.read(ctx, tufmeta.Snapshot, info.Version)
	if errors.Is(err, storage.ErrNotFound) {
		return p.absent(tufmeta.Snapshot, info.Version)
	}
	if err != nil {
		return err
	}
	if p.snapshot, err = p.verify(tufmeta.Snapshot, d); err != nil {
		return err
	}
	if err := p.checkListed(info, d); err != nil {
		return p.reject(tufmeta.Snapshot, d, err)
	}
	d.settled.Store(true)
	if err := p.seen[tufmeta.Snapshot].check(p.snapshot.Verified, p.root().Roles[tufmeta.Snapshot]); err != nil {
		return p.reject(tufmeta.Snapshot, d, err)
	}
	u.trust.remember(p.app, p.snapshot.Verified, p.snapshot.rotated)
	return nil
}

// checkListed checks that a file is the one that is listed, or, where names carry no version, one
// that was written over it since.
func (p *published) checkListed(info tufmeta.FileInfo, d *file) error {
	if !p.consistent && d.Version() > info.Version {
		return nil
	}
	return info.Check(d.Document)
}

// followable returns an error if no version can follow a document's.
func (p *published) followable(d *document) error {
	if d.Version() < tufmeta.MaxVersion {
		return nil
	}
	role := d.Role().Name
	return &VerificationError{
		App: p.app, Role: role, Version: d.Version(), Key: p.key(role, d.Version()), Err: errors.New("no version can follow"),
	}
}
