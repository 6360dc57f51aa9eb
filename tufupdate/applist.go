package tufupdate

import (
	"context"
	"path"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/tufmeta"
	"github.com/tufonline/tufonline/storage"
)

// A listing knows the apps of a store from the names of its files.
type listing struct {
	store storage.Lister
	every time.Duration // how long the names that were read count

	mu   sync.Mutex
	read time.Time
	all  []string
}

// apps returns the apps that have a timestamp and a root. The file of a delegated role whose name
// ends in /timestamp looks like a timestamp, and has no root beside it.
func (l *listing) apps(ctx context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read.IsZero() && time.Since(l.read) < l.every {
		return l.all, nil
	}
	names, err := l.store.List(ctx, "")
	if err != nil {
		return nil, err
	}
	l.read, l.all = time.Now(), appsAmong(names)
	return l.all, nil
}

func appsAmong(names []string) (apps []string) {
	rootName := regexp.MustCompile(`^[1-9][0-9]*\.` + tufmeta.Root + `\` + tufmeta.Suffix + `$`)
	rooted := map[string]bool{}
	var stamped []string
	for _, name := range names {
		app, file := path.Split(name)
		app = path.Clean(app)
		switch {
		case file == tufmeta.Timestamp+tufmeta.Suffix:
			stamped = append(stamped, app)
		case rootName.MatchString(file):
			rooted[app] = true
		}
	}
	for _, app := range stamped {
		if rooted[app] && CheckApp(app) == nil {
			apps = append(apps, app)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(apps)))
}
