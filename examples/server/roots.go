package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/tufupdate"
)

// A rootFolder holds the trusted root of each app, as <owner>/<app>.json. Files are not cached.
type rootFolder struct {
	folder *os.Root // no name and no link leads out of it
	log    *slog.Logger
}

func openRoots(dir string, log *slog.Logger) (rootFolder, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return rootFolder{}, fmt.Errorf("opening the trusted roots: %w", err)
	}
	return rootFolder{folder, log}, nil
}

// root returns the root of an app. An app without a root is not bootstrapped.
func (r rootFolder) root(_ context.Context, app string) ([]byte, error) {
	data, err := r.folder.ReadFile(app + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no root to trust is configured", tufupdate.ErrNotBootstrapped)
	}
	return data, err
}

// apps returns all apps that have a root.
//
//   - It skips names that begin with a dot. Kubernetes mounts the files there, and links to them.
//   - It logs and skips what it cannot read, so that the apps in other folders are still renewed.
func (r rootFolder) apps(ctx context.Context) ([]string, error) { return r.below(ctx, ".", nil) }

// below returns the apps in a folder. outer are the folders that it is in.
func (r rootFolder) below(ctx context.Context, dir string, outer []fs.FileInfo) (apps []string, err error) {
	entries, err := fs.ReadDir(r.folder.FS(), dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		name := path.Join(dir, entry.Name())
		info, err := r.folder.Stat(name) // follows links
		isOuter := func(folder fs.FileInfo) bool { return os.SameFile(folder, info) }
		switch app, isRoot := strings.CutSuffix(name, ".json"); {
		case err != nil:
		case info.IsDir() && !slices.ContainsFunc(outer, isOuter): // a link to an outer folder would never end
			var more []string
			more, err = r.below(ctx, name, append(slices.Clip(outer), info))
			apps = append(apps, more...)
		case isRoot && !info.IsDir():
			apps = append(apps, app)
		}
		if err != nil {
			r.log.ErrorContext(ctx, "trusted roots: skipped", "name", name, "error", err)
		}
	}
	return apps, nil
}
