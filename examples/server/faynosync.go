package main

import (
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/tufonline/tufonline/compat/faynosync"
	"github.com/tufonline/tufonline/tufupdate"
)

// openFaynosync returns a client of the Redis of a faynoSync installation, nil if the options name
// none. It connects when it is used. The caller closes it.
func openFaynosync(o options) (*redis.Client, error) {
	if o.faynosync == "" {
		return nil, nil
	}
	where, err := redis.ParseURL(o.faynosync)
	if err != nil {
		return nil, errors.New("-faynosync is not a URL of a Redis (it is not shown, since it may hold a password)")
	}
	where.ContextTimeoutEnabled = true // without it, go-redis waits longer than its caller
	return redis.NewClient(where), nil
}

// withFaynosync configures the updater from a faynoSync installation. client may be nil.
func withFaynosync(client *redis.Client, o options, config *tufupdate.Config) {
	if client == nil {
		return
	}
	if files := config.Settings; files != nil {
		config.Settings = combined(faynosync.Settings(client), files)
	} else {
		config.Settings = faynosync.Settings(client)
	}
	if o.mirror {
		config.Tasks = faynosync.NewMirror(config.Tasks, client, faynosync.MirrorOptions{Logger: config.Logger})
	}
}
