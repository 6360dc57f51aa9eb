package simulation

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"
)

// A follower is a client, as go-tuf's, python-tuf's and tuf-js's are: after new keys it keeps what
// still verifies. Unlike theirs, its refresh loads all delegated roles too. It works in memory, so
// that thousands of histories are judged in a minute.
type follower struct {
	name      string
	root      *paper
	timestamp *paper
	snapshot  *paper
	targets   map[string]*paper
}

// A sight is what a client has after a refresh.
type sight struct {
	err      error            // why the client goes on with nothing
	versions map[string]int64 // of what is listed, and of root, timestamp and snapshot
	papers   map[string]*paper
	failed   map[string]error // delegated roles that it cannot load
}

// newFollower returns a client that trusts a root only.
func (j *judge) newFollower(name string) *follower {
	return &follower{name: name, root: j.roots[0], targets: map[string]*paper{}}
}

// look returns what the client would see, and leaves it as it is.
func (j *judge) look(f *follower) sight {
	copied := *f
	copied.targets = maps.Clone(f.targets)
	return j.refresh(&copied)
}

// file returns a file of the store as a paper, nil if there is none.
func (j *judge) file(name string) *paper {
	data := j.world.read(name)
	if data == nil {
		return nil
	}
	return j.read(data)
}

// named returns the name of a role's file in the layout of a root.
func (p *paper) named(role string, version int64) string {
	if role == "timestamp" || !p.consistent && role != "root" {
		return role + ".json"
	}
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// refresh has the client refresh.
func (j *judge) refresh(f *follower) (s sight) {
	s = sight{versions: map[string]int64{}, papers: map[string]*paper{}, failed: map[string]error{}}
	if s.err = j.refreshRoot(f); s.err != nil {
		return s
	}
	if s.err = j.refreshTimestamp(f); s.err != nil {
		return s
	}
	if s.err = j.refreshSnapshot(f); s.err != nil {
		return s
	}
	s.papers["timestamp"], s.papers["snapshot"], s.papers["root"] = f.timestamp, f.snapshot, f.root
	for role, p := range s.papers {
		s.versions[role] = p.version
	}
	for role, e := range f.snapshot.meta {
		s.versions[role] = e.version
	}
	top, err := j.load(f, f.root.roles["targets"])
	if err != nil {
		s.err = err
		return s
	}
	s.papers["targets"] = top
	j.walk(top, s.papers, func(n named) *paper {
		p, err := j.load(f, n)
		if err != nil {
			s.failed[n.name] = err
			return nil
		}
		return p
	})
	return s
}

// walk goes through the delegations below a targets document, those nearest to it first, and adds
// what load returns. The first declaration of a name counts.
func (j *judge) walk(top *paper, papers map[string]*paper, load func(named) *paper) map[string]named {
	declared := map[string]named{}
	queue := []*paper{top}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, d := range at.delegations {
			for _, name := range d.names() {
				if _, known := declared[name]; known || isTop(name) {
					continue
				}
				one := d
				one.name = name
				declared[name] = one
				if p := load(one); p != nil {
					papers[name] = p
					queue = append(queue, p)
				}
			}
		}
	}
	return declared
}

func isTop(role string) bool {
	return role == "root" || role == "timestamp" || role == "snapshot" || role == "targets"
}

func expired(p *paper) bool { return !time.Now().Before(p.expires) }

func (j *judge) refreshRoot(f *follower) error {
	for {
		next := j.file(fmt.Sprintf("%d.root.json", f.root.version+1))
		if next == nil {
			break
		}
		if next.problem != nil || next.kind != "root" || next.version != f.root.version+1 ||
			!next.by(f.root.roles["root"]) || !next.by(next.roles["root"]) {
			return fmt.Errorf("root %d does not verify", f.root.version+1)
		}
		f.root = next
	}
	if expired(f.root) {
		return errors.New("root has expired")
	}
	return nil
}

func (j *judge) refreshTimestamp(f *follower) error {
	role := f.root.roles["timestamp"]
	if f.timestamp != nil && !f.timestamp.by(role) {
		f.timestamp = nil
	}
	next := j.file("timestamp.json")
	if next == nil {
		return errors.New("no timestamp")
	}
	if next.problem != nil || next.kind != "timestamp" || !next.by(role) {
		return errors.New("timestamp does not verify")
	}
	if old := f.timestamp; old != nil {
		if next.version < old.version {
			return fmt.Errorf("timestamp %d below %d", next.version, old.version)
		}
		if next.version == old.version {
			next = old
		}
		if next.meta["snapshot"].version < old.meta["snapshot"].version {
			return fmt.Errorf("timestamp lists snapshot %d below %d", next.meta["snapshot"].version,
				old.meta["snapshot"].version)
		}
	}
	f.timestamp = next
	if expired(next) {
		return errors.New("timestamp has expired")
	}
	return nil
}

func (j *judge) refreshSnapshot(f *follower) error {
	role, listed := f.root.roles["snapshot"], f.timestamp.meta["snapshot"]
	old := f.snapshot
	if old != nil && !old.by(role) {
		old = nil
	}
	f.snapshot = old
	if old == nil || old.version != listed.version || expired(old) {
		next := j.file(f.root.named("snapshot", listed.version))
		if next == nil {
			return errors.New("no snapshot")
		}
		if next.problem != nil || next.kind != "snapshot" || !next.by(role) ||
			listed.sha != "" && listed.sha != next.sha {
			return errors.New("snapshot does not verify")
		}
		if old != nil {
			for name, e := range old.meta {
				now, ok := next.meta[name]
				if !ok {
					return fmt.Errorf("snapshot does not list %s", name)
				}
				if now.version < e.version {
					return fmt.Errorf("snapshot lists %s %d below %d", name, now.version, e.version)
				}
			}
		}
		if next.version != listed.version {
			return fmt.Errorf("snapshot %d where %d is listed", next.version, listed.version)
		}
		f.snapshot = next
	}
	if expired(f.snapshot) {
		return errors.New("snapshot has expired")
	}
	return nil
}

// load returns a targets document, from what the client has or from the store.
func (j *judge) load(f *follower, role named) (*paper, error) {
	listed, ok := f.snapshot.meta[role.name]
	if !ok {
		return nil, fmt.Errorf("%s is not listed", role.name)
	}
	good := func(p *paper) bool {
		return p != nil && p.problem == nil && p.kind == "targets" && p.version == listed.version &&
			(listed.sha == "" || listed.sha == p.sha) && p.by(role) && !expired(p)
	}
	if p := f.targets[role.name]; good(p) {
		return p, nil
	}
	p := j.file(f.root.named(role.name, listed.version))
	if !good(p) {
		return nil, fmt.Errorf("%s %d does not verify", role.name, listed.version)
	}
	f.targets[role.name] = p
	return p, nil
}
