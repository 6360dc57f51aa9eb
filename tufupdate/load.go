package tufupdate

import (
	"bytes"
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

// A published is a repository as it was read and verified: the only place where documents to be signed come from.
type published struct {
	files
	roots     []*tufmeta.RootDocument // from the pinned one to the newest
	timestamp *document
	snapshot  *document // nil until loaded
	seen      map[string]mark

	mu       sync.Mutex
	warnings []string
}

// A document is a verified file.
type document struct {
	*tufmeta.Verified
	store storage.Version
	// rotated says that it verifies only by keys that its role no longer has. It is trusted for what it says, but clients reject it.
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

// loadRoots is followRoots for those who mean to sign: ErrRootExpired if the newest root has expired.
func (u *Updater) loadRoots(ctx context.Context, app string) (*published, error) {
	p, err := u.followRoots(ctx, app)
	if err != nil {
		return nil, err
	}
	if expires := p.root().Expires(); !time.Now().Before(expires) {
		return nil, errorf(app, fmt.Sprintf("root version %d expired at %s", p.root().Version(), expires.Format(time.RFC3339)), ErrRootExpired)
	}
	return p, nil
}

// followRoots follows the roots from the one that is trusted to the newest (specification 5.3). What was followed before is remembered.
// ErrNotBootstrapped if there is no first root.
func (u *Updater) followRoots(ctx context.Context, app string) (*published, error) {
	p := &published{files: files{store: u.store, app: app}, seen: u.memory.seen(app)}
	p.roots = u.memory.roots(app)
	if len(p.roots) == 0 {
		first, err := u.firstRoot(ctx, p.files)
		if err != nil {
			return nil, err
		}
		p.roots = []*tufmeta.RootDocument{first}
	}
	for {
		d, err := p.read(ctx, tufmeta.Root, p.root().Version()+1)
		if errors.Is(err, storage.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		next, err := p.root().Follow(d.Document)
		if err != nil {
			return nil, p.reject(tufmeta.Root, d, err)
		}
		p.roots = append(p.roots, next)
	}
	p.roots = u.memory.pin(app, p.roots)
	p.consistent = p.root().Consistent
	return p, nil
}

// firstRoot returns the root that the app is trusted by.
func (u *Updater) firstRoot(ctx context.Context, f files) (*tufmeta.RootDocument, error) {
	if u.config.Roots == nil {
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
		u.log.WarnContext(ctx, "no root is pinned for the app: trusting the first one seen", "app", f.app, "role", tufmeta.Root,
			"version", root.Version(), "sha256", fmt.Sprintf("%x", sha256.Sum256(root.Bytes())))
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

// verify verifies a file of a top-level role by the newest root or, if its keys were replaced since, by the root before that.
func (p *published) verify(role string, d *file) (*document, error) {
	current := p.root().Roles[role]
	v, err := current.Verify(d.Document)
	if err == nil {
		return &document{Verified: v, store: d.version}, nil
	}
	for i := len(p.roots) - 2; i >= 0; i-- {
		earlier := p.roots[i].Roles[role]
		if earlier.Equal(current) {
			continue
		}
		if v, earlierErr := earlier.Verify(d.Document); earlierErr == nil {
			return &document{Verified: v, store: d.version, rotated: true}, nil
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
	u.memory.remember(p.app, p.timestamp.Verified, p.timestamp.rotated)
	return nil
}

// loadSnapshot reads the snapshot that the timestamp lists. Without consistent snapshots it may be a later one, where a writer has
// been stopped between the two.
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
	if err := p.seen[tufmeta.Snapshot].check(p.snapshot.Verified, p.root().Roles[tufmeta.Snapshot]); err != nil {
		return p.reject(tufmeta.Snapshot, d, err)
	}
	u.memory.remember(p.app, p.snapshot.Verified, p.snapshot.rotated)
	return nil
}

// checkListed checks that a file is the one that is listed, or, where names carry no version, one that was written over it since.
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

// same reports whether two documents are the same file.
func same(a, b *tufmeta.Verified) bool {
	return a.Version() == b.Version() && bytes.Equal(a.Bytes(), b.Bytes())
}
