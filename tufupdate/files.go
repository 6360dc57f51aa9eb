package tufupdate

import (
	"context"
	"fmt"
	"strings"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// CheckApp returns an error that wraps ErrInvalidApp unless app is a path of one or more plain segments, separated by single slashes.
// A segment may hold what a storage key may, but not begin with a dot.
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
	store      storage.Store
	app        string
	consistent bool // whether all but the timestamp carry their version in the name
}

func (f files) key(role string, version int64) string {
	if role == tufmeta.Timestamp || !f.consistent && role != tufmeta.Root {
		return f.app + "/" + role + tufmeta.Suffix
	}
	return fmt.Sprintf("%s/%d.%s%s", f.app, version, role, tufmeta.Suffix)
}

// A file is a document as it lies in the store.
type file struct {
	*tufmeta.Document
	key     string
	version storage.Version
}

// read reads a role's file; version counts only where names carry it. The error wraps storage.ErrNotFound if there is none, and is a
// *VerificationError if what is there is no document.
func (f files) read(ctx context.Context, role string, version int64) (*file, error) {
	key := f.key(role, version)
	object, err := f.store.Get(ctx, key)
	if err != nil {
		return nil, errorf(f.app, "reading "+key, err)
	}
	d, err := tufmeta.Parse(object.Data)
	if err != nil {
		return nil, &VerificationError{App: f.app, Role: role, Version: version, Key: key, Err: err}
	}
	return &file{d, key, object.Version}, nil
}

// reject says that a file cannot be trusted.
func (f files) reject(role string, d *file, err error) error {
	return &VerificationError{App: f.app, Role: role, Version: d.Version(), Key: d.key, Err: err}
}

// absent says that a file is not there although it is listed.
func (f files) absent(role string, version int64) error {
	return &VerificationError{App: f.app, Role: role, Version: version, Key: f.key(role, version), Err: storage.ErrNotFound}
}

func isTopLevel(role string) bool {
	switch role {
	case tufmeta.Root, tufmeta.Timestamp, tufmeta.Snapshot, tufmeta.Targets:
		return true
	}
	return false
}
