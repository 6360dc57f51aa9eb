package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Driver opens the stores of one URL scheme.
type Driver struct {
	Scheme string // as in "s3"

	// Userinfo allows a user and a password in the URL.
	Userinfo bool

	// Open opens the store that u names, whose limit is limit bytes (more than 0). u has no user
	// unless Userinfo is set, no fragment, and no query parameter twice. Open refuses whatever it
	// does not know in u (see CheckParams), and its errors hold no values of u that may be secret.
	Open func(ctx context.Context, u *url.URL, limit int64) (Store, error)
}

// Open opens the store that rawURL names. The schemes are those of the drivers, which each store's
// package has, and mem, which needs none:
//
//	mem://
//	file:///var/lib/tuf?create_dir=true                   filestore.Driver()
//	s3://bucket?region=eu-central-1&prefix=tuf/           s3store.Driver()
//	sqlite:///var/lib/tuf/memory.db                       sqlitestore.Driver()
//	postgres://user@host/database                         postgresstore.Drivers()
//
// Each driver documents its parameters. In addition every scheme takes limit=BYTES, the size of the
// largest object that is read, instead of DefaultLimit. Credentials have no place in the URL, but
// for the schemes that say so, and no error shows any.
//
// A store that is an io.Closer has to be closed when it is no longer used.
func Open(ctx context.Context, rawURL string, drivers ...Driver) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // which quotes what it cannot read
		return nil, errors.New("storage URL cannot be parsed (it is not shown, since it may hold credentials)")
	}
	store, err := open(ctx, u, append(slices.Clip(drivers), memoryDriver()))
	if err != nil {
		return nil, fmt.Errorf("storage URL %s://%s: %w", u.Scheme, u.Host, err)
	}
	return store, nil
}

func open(ctx context.Context, u *url.URL, drivers []Driver) (Store, error) {
	i := slices.IndexFunc(drivers, func(d Driver) bool { return d.Scheme == u.Scheme })
	if i < 0 {
		var known []string
		for _, d := range drivers {
			known = append(known, d.Scheme)
		}
		return nil, fmt.Errorf("unknown scheme %q: not one of %s", u.Scheme, strings.Join(known, ", "))
	}
	if u.User != nil && !drivers[i].Userinfo {
		return nil, errors.New("user or password in the URL: credentials have no place there")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("not of the form %s://…?…", u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("query cannot be parsed")
	}
	for _, param := range slices.Sorted(maps.Keys(query)) {
		if n := len(query[param]); n > 1 {
			return nil, fmt.Errorf("query parameter %q is given %d times", param, n)
		}
	}
	limit := DefaultLimit
	if query.Has("limit") {
		limit, err = strconv.ParseInt(query.Get("limit"), 10, 64)
		if err != nil || limit <= 0 {
			return nil, fmt.Errorf("query parameter limit=%q: not a number of bytes above 0", query.Get("limit"))
		}
		query.Del("limit")
	}
	u.RawQuery = query.Encode()
	return drivers[i].Open(ctx, u, limit)
}

// CheckParams returns an error that names the first query parameter of u that is not one of known.
// It is for drivers.
func CheckParams(u *url.URL, known ...string) error {
	for _, param := range slices.Sorted(maps.Keys(u.Query())) {
		if !slices.Contains(known, param) {
			return fmt.Errorf("unknown query parameter %q: not one of %s", param,
				strings.Join(append(slices.Clip(known), "limit"), ", "))
		}
	}
	return nil
}

func memoryDriver() Driver {
	return Driver{Scheme: "mem", Open: func(_ context.Context, u *url.URL, limit int64) (Store, error) {
		if u.Host != "" || u.Path != "" {
			return nil, errors.New("memory has no host and no path: write mem://")
		}
		if err := CheckParams(u); err != nil {
			return nil, err
		}
		return NewMemory(MemoryOptions{Limit: limit}), nil
	}}
}
