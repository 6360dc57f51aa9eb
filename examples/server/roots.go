package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tufonline/tufonline/tufupdate"
)

// A rootFolder holds the trusted root of each app, as <owner>/<app>.json. It is read anew each time.
type rootFolder struct{ folder *os.Root } // so that no name, and no link, leads out of it

func openRoots(dir string) (rootFolder, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return rootFolder{}, fmt.Errorf("opening the trusted roots: %w", err)
	}
	return rootFolder{folder}, nil
}

// root returns the root of an app. An app without one is refused, for there is nothing to trust.
func (r rootFolder) root(_ context.Context, app string) ([]byte, error) {
	data, err := r.folder.ReadFile(app + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no root to trust is configured", tufupdate.ErrNotBootstrapped)
	}
	return data, err
}

// apps returns all apps that have one.
func (r rootFolder) apps(context.Context) (apps []string, err error) {
	err = fs.WalkDir(r.folder.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if app, ok := strings.CutSuffix(name, ".json"); err == nil && ok && !entry.IsDir() {
			apps = append(apps, app)
		}
		return err
	})
	return apps, err
}
