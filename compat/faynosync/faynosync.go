// Package faynosync fits tufonline to installations of faynoSync. That update server keeps the
// state of its TUF repositories in Redis. [Settings] reads an app's settings from there, and a
// [Mirror] writes tasks to it. docs/faynosync.md explains how to run the two side by side.
//
// Apps are <owner>/<app>. Their metadata is in the bucket under tuf_metadata/<owner>/<app>/, so the
// store's URL ends in prefix=tuf_metadata/. The private keys are files in one folder, named by key
// ID: keys.Dir with Flat.
//
// The names of Redis keys join owner and app by "_". The app c of the owner a_b and the app b_c of
// the owner a therefore share their settings, with faynoSync as with this package. They share no
// metadata.
//
// Redis has five seconds to answer. The client should have ContextTimeoutEnabled. Without it,
// go-redis checks the context only between its own attempts, and waits for its ReadTimeout too.
package faynosync

import (
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/tufupdate"
)

// patience is how long Redis may take. go-redis alone tries for more than half a minute, which
// would hold up requests and work.
const patience = 5 * time.Second

// suffix returns the end of the names of an app's Redis keys.
func suffix(app string) (string, error) {
	owner, name, ok := strings.Cut(app, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("app %s: %w: not of the form owner/app", app, tufupdate.ErrInvalidApp)
	}
	return owner + "_" + name, nil
}
