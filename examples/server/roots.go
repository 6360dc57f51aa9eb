package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tufonline/tufonline/tufupdate"
)

// pinnedRoots returns what looks up the trusted root of an app in dir: <owner>/<app>.json, read anew each time. An app without one
// is refused, for there is nothing to trust.
func pinnedRoots(dir string) (func(context.Context, string) ([]byte, error), error) {
	folder, err := os.OpenRoot(dir) // so that no name, and no link, leads out of it
	if err != nil {
		return nil, fmt.Errorf("opening the trusted roots: %w", err)
	}
	return func(_ context.Context, app string) ([]byte, error) {
		data, err := folder.ReadFile(app + ".json")
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: no root to trust is configured", tufupdate.ErrNotBootstrapped)
		}
		return data, err
	}, nil
}
