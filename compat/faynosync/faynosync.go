// Package faynosync fits tufonline to the installations of faynoSync, an update server that keeps
// the state of its TUF repositories in Redis: [Settings] reads what it has decided for an app, and
// a [Mirror] shows it the tasks. See docs/faynosync.md for how to run the two side by side.
//
// Its apps are <owner>/<app>, and their metadata lies in the bucket under
// tuf_metadata/<owner>/<app>/, so the store's URL ends in prefix=tuf_metadata/. Its private keys
// are files named by key ID in one folder: keys.Dir with Flat.
//
// In the names of its Redis keys owner and app are joined by "_". The app c of the owner a_b and
// the app b_c of the owner a therefore share what is decided for them, there as here. They share no
// metadata.
//
// Redis has five seconds to answer. A client should have ContextTimeoutEnabled: without it,
// go-redis looks at the context only between its own attempts, and its ReadTimeout counts besides.
package faynosync

import (
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/tufupdate"
)

// patience is how long Redis may take, lest one that hangs holds up requests and work: go-redis by
// itself tries for more than half a minute.
const patience = 5 * time.Second

// suffix returns what the names of an app's Redis keys end in.
func suffix(app string) (string, error) {
	owner, name, ok := strings.Cut(app, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("app %s: %w: not of the form owner/app", app, tufupdate.ErrInvalidApp)
	}
	return owner + "_" + name, nil
}
