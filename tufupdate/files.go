package tufupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// CheckApp returns an error that wraps ErrInvalidApp unless app is a path of one or more plain
// segments, separated by single slashes. A segment may hold what a storage key may, but not begin
// with a dot.
func CheckApp(app string) error {
	if err := storage.CheckKey(app); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidApp, err)
	}
	for segment := range strings.SplitSeq(app, "/") {
		if strings.HasPrefix(segment, ".") {
			return fmt.Errorf("%w: %q begins a segment with a dot", ErrInvalidApp, app)
		}
	}
	return nil
}

func errorf(app, what string, err error) error { return fmt.Errorf("app %s: %s: %w", app, what, err) }

// files names and reads the metadata files of one app (specification 6.2.1).
type files struct {
	*view
	consistent bool // whether all but the timestamp carry their version in the name
}

func (f files) key(role string, version int64) string {
	if !f.hasVersion(role) {
		return f.app + "/" + role + tufmeta.Suffix
	}
	return fmt.Sprintf("%s/%d.%s%s", f.app, version, role, tufmeta.Suffix)
}

// hasVersion reports whether a role's files carry their version in the name.
func (f files) hasVersion(role string) bool {
	return role == tufmeta.Root || f.consistent && role != tufmeta.Timestamp
}

// read reads the file that is listed with a version, or, where names carry none, the one that there
// is. The error wraps storage.ErrNotFound if there is none, and is a *VerificationError if what is
// there is no document.
func (f files) read(ctx context.Context, role string, version int64) (*file, error) {
	key := f.key(role, version)
	read := f.current
	if f.hasVersion(role) {
		read = f.listed
	}
	d, err := read(ctx, key)
	return f.document(role, version, d, err)
}

// readNext is read for a file that nothing lists yet.
func (f files) readNext(ctx context.Context, role string, version int64) (*file, error) {
	d, err := f.next(ctx, f.key(role, version))
	return f.document(role, version, d, err)
}

func (f files) document(role string, version int64, d *file, err error) (*file, error) {
	key := f.key(role, version)
	switch {
	case errors.Is(err, storage.ErrInvalidKey):
		return nil, &VerificationError{App: f.app, Role: role, Version: version, Key: key, Err: err}
	case err != nil:
		return nil, errorf(f.app, "reading "+key, err)
	case d.problem != nil:
		return nil, &VerificationError{App: f.app, Role: role, Version: version, Key: key, Err: d.problem}
	}
	return d, nil
}

// reject says that a file cannot be trusted.
func (f files) reject(role string, d *file, err error) error {
	return &VerificationError{App: f.app, Role: role, Version: d.Version(), Key: d.key, Err: err}
}

// absent says that a file is not there although it is listed.
func (f files) absent(role string, version int64) error {
	return &VerificationError{App: f.app, Role: role, Version: version, Key: f.key(role, version),
		Err: storage.ErrNotFound}
}

func isDelegated(role string) bool { return role != defaults && !isTopLevel(role) }

func isTopLevel(role string) bool {
	switch role {
	case tufmeta.Root, tufmeta.Timestamp, tufmeta.Snapshot, tufmeta.Targets:
		return true
	}
	return false
}
