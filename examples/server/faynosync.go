package main

import (
	"errors"
	"io"

	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/compat/faynosync"
	"github.com/tufonline/tufonline/tufupdate"
)

// withFaynosync configures the updater from a faynoSync installation, if the options name one. The
// caller closes the connections to its Redis.
func withFaynosync(o options, config *tufupdate.Config) (io.Closer, error) {
	if o.faynosync == "" {
		return io.NopCloser(nil), nil
	}
	where, err := redis.ParseURL(o.faynosync)
	if err != nil {
		return nil, errors.New("-faynosync is not a URL of a Redis (it is not shown, since it may hold a password)")
	}
	where.ContextTimeoutEnabled = true // without it, go-redis waits longer than its caller
	client := redis.NewClient(where)
	if files := config.Settings; files != nil {
		config.Settings = combined(faynosync.Settings(client), files)
	} else {
		config.Settings = faynosync.Settings(client)
	}
	if o.mirror {
		config.Tasks = faynosync.NewMirror(config.Tasks, client, faynosync.MirrorOptions{Logger: config.Logger})
	}
	return client, nil
}
