package tasks

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Driver opens the task stores of some URL schemes.
type Driver struct {
	Schemes []string // as in "sqlite"

	// Open opens the store that u names. Its errors hold no value of u that may be secret.
	Open func(ctx context.Context, u *url.URL) (Store, error)
}

// Open opens the task store that rawURL names. Each driver is for other schemes. The package of a
// store has its Driver. mem needs none:
//
//	mem://
//	sqlite:///var/lib/tuf/tasks.db     riversqlite.Driver
//	postgres://user@host/database      riverpostgres.Driver
//
// The caller closes a store that is an io.Closer. Errors do not show the URL, which may hold a
// password.
func Open(ctx context.Context, rawURL string, drivers ...Driver) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // the error quotes the URL
		return nil, errors.New("task store: the URL cannot be parsed (it is not shown, since it may hold a password)")
	}
	var known []string
	for _, d := range append(slices.Clip(drivers), memoryDriver()) {
		if !slices.Contains(d.Schemes, u.Scheme) {
			known = append(known, d.Schemes...)
			continue
		}
		store, err := d.Open(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("task store %s: %w", u.Scheme, err)
		}
		return store, nil
	}
	return nil, fmt.Errorf("task store: unknown scheme %q: not one of %s", u.Scheme, strings.Join(known, ", "))
}

func memoryDriver() Driver {
	return Driver{Schemes: []string{"mem"}, Open: func(_ context.Context, u *url.URL) (Store, error) {
		if *u != (url.URL{Scheme: u.Scheme}) {
			return nil, errors.New("memory has no host, no path and no options: write mem://")
		}
		return NewMemory(MemoryOptions{}), nil
	}}
}
