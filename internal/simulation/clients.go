package simulation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// A client is go-tuf's, as it was when it last refreshed. It stays so: what looks is a copy of it.
type client struct {
	name  string
	world *World
	state *testrepo.Client
	ahead bool // it may have seen more than there is now
}

// newClient returns a client that trusts the first root. It has refreshed, if there was no error.
func (w *World) newClient(name string) (c *client, err error) {
	c = &client{name: name, world: w, state: testrepo.NewClient(w.t, w.store.Memory, w.repo.App, w.repo.Root, true)}
	return c, quietly(c.state.Refresh)
}

// brandNew is the name of the client that trusts nothing but the first root.
const brandNew = "new"

// quietly returns a panic of go-tuf's, which there is for some input, as an error.
func quietly(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return call()
}

// look has a copy of the client refresh, and returns the versions that it sees.
func (c *client) look() (versions map[string]int64, err error) {
	err = quietly(func() (err error) {
		copied := c.state
		if c.name != brandNew {
			copied = c.state.Copy(c.world.t, c.world.store.Memory)
		}
		versions, err = copied.Versions()
		return err
	})
	return versions, err
}

// keep adds a client, or puts it in the place of the one of that name, if it can refresh.
func (w *World) keep(name string) error {
	c, err := w.newClient(name)
	if err == nil {
		w.clients = slices.DeleteFunc(w.clients, func(c *client) bool { return c.name == name })
		w.clients = append(w.clients, c)
	}
	return err
}

// keepClient is the verb client.
func (w *World) keepClient(words *words) string {
	name := words.first()
	if w.swift {
		f := w.judge.newFollower(name)
		if s := w.judge.refresh(f); s.err != nil {
			return "rejected"
		}
		w.judge.followers = append(w.judge.followers, f)
		return ""
	}
	if err := w.keep(name); err != nil {
		return "rejected"
	}
	return ""
}

// new returns a client that forgets all but the first root between two looks.
func (w *World) new() *client {
	state := testrepo.NewClient(w.t, w.store.Memory, w.repo.App, w.repo.Root, false)
	return &client{name: brandNew, world: w, state: state}
}

// all returns the clients that there are, and a new one.
func (w *World) all() []*client { return append(slices.Clone(w.clients), w.new()) }

// judgeVersions complains if a client sees a version that is lower than what clients saw before, or
// misses a role.
func (w *World) judgeVersions(c *client, seen map[string]int64) {
	if c.ahead {
		return
	}
	for role, version := range w.floor {
		if seen[role] < version {
			w.complain("client %s sees %s %d, where clients have seen %d", c.name, role, seen[role], version)
		}
	}
	for role, version := range seen {
		if before, ok := w.floor[role]; !ok || before < version {
			w.floor[role] = version
		}
	}
}

// refreshClients is the verb clients.
func (w *World) refreshClients(*words) string {
	if w.swift {
		return ""
	}
	outcome, _ := w.Clients()
	return outcome
}

// Clients has all clients refresh, and a new one. It returns what they see, and whether all of them
// see something.
func (w *World) Clients() (outcome string, ok bool) {
	ok = true
	var texts []string
	names := map[string][]string{}
	for _, c := range w.all() {
		text := ""
		if seen, err := c.look(); err != nil {
			text, ok = "rejected", false
		} else {
			w.judgeVersions(c, seen)
			text = "see " + listing(changed(seen), seen)
		}
		if names[text] == nil {
			texts = append(texts, text)
		}
		names[text] = append(names[text], c.name)
	}
	if len(texts) == 1 {
		return texts[0], ok
	}
	var parts []string
	for _, text := range texts {
		parts = append(parts, strings.Join(names[text], ", ")+": "+text)
	}
	return strings.Join(parts, "; "), ok
}

// changed returns the roles that are not as they were in the beginning, and the timestamp.
func changed(seen map[string]int64) (roles []string) {
	for _, role := range order(seen) {
		if seen[role] > 1 || role == metadata.TIMESTAMP {
			roles = append(roles, role)
		}
	}
	return roles
}
