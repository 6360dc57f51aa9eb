// Package history checks what observers and workers have recorded while repositories were rolled by processes that were killed: whether clients
// could have been let down at any moment, and whether what was said to be published was.
package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// A Record is what was seen and said. Moments are numbers of one clock, each of which is given out once.
type Record struct {
	Observations []Observation
	Successes    []Success
	Files        []File
	Snapshots    []Snapshot // all that successes speak of, read in the end
}

// An Observation is what a client that began with nothing found, all of it verified.
type Observation struct {
	App       string
	Begun     int64
	Timestamp int64            // version
	Snapshot  int64            // version
	Listed    map[string]int64 // versions by role
	Problem   string           // why the client would not go on, if so
}

// A Success is a task that a worker said it had done.
type Success struct {
	App      string
	Heard    int64            // when
	Versions map[string]int64 // by role
}

// A File is the content that a file was found to have. A timestamp's name holds its version here.
type File struct {
	Name   string
	Digest string
}

// A Snapshot is what a snapshot lists; nothing if it is not there.
type Snapshot struct {
	App     string
	Version int64
	Listed  map[string]int64
}

// Check returns everything that is wrong with a record.
func Check(r Record) []string {
	var c checker
	c.files(r.Files)
	for _, app := range r.apps() {
		c.app(app, r)
	}
	return c.wrong
}

func (r Record) apps() []string {
	apps := map[string]bool{}
	for _, o := range r.Observations {
		apps[o.App] = true
	}
	for _, s := range r.Successes {
		apps[s.App] = true
	}
	return slices.Sorted(maps.Keys(apps))
}

type checker struct{ wrong []string }

func (c *checker) complain(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *checker) files(files []File) {
	digests := map[string]string{}
	for _, f := range files {
		if before, ok := digests[f.Name]; ok && before != f.Digest {
			c.complain("%s has had two contents", f.Name)
		}
		digests[f.Name] = f.Digest
	}
}

func (c *checker) app(app string, r Record) {
	var seen []Observation
	for _, o := range r.Observations {
		if o.App == app {
			seen = append(seen, o)
		}
	}
	slices.SortFunc(seen, func(a, b Observation) int { return cmp.Compare(a.Begun, b.Begun) })
	for i, o := range seen {
		if o.Problem != "" {
			c.complain("app %s: at %d a client would not go on: %s", app, o.Begun, o.Problem)
		} else if i > 0 && seen[i-1].Problem == "" {
			c.grows(seen[i-1], o)
		}
	}
	snapshots := map[int64]map[string]int64{}
	for _, s := range r.Snapshots {
		if s.App == app {
			snapshots[s.Version] = s.Listed
		}
	}
	for _, s := range r.Successes {
		if s.App == app {
			c.success(s, seen, snapshots)
		}
	}
}

// grows checks what an observation must not find after another one.
func (c *checker) grows(before, now Observation) {
	if now.Timestamp < before.Timestamp {
		c.complain("app %s: timestamp version %d was seen after %d", now.App, now.Timestamp, before.Timestamp)
	}
	if now.Snapshot < before.Snapshot {
		c.complain("app %s: snapshot version %d was seen after %d", now.App, now.Snapshot, before.Snapshot)
	}
	if now.Timestamp == before.Timestamp && now.Snapshot != before.Snapshot {
		c.complain("app %s: timestamp version %d led to two snapshots", now.App, now.Timestamp)
	}
	for role, version := range before.Listed {
		switch listed, ok := now.Listed[role]; {
		case !ok:
			c.complain("app %s: %s has left snapshot version %d", now.App, role, now.Snapshot)
		case listed < version:
			c.complain("app %s: %s version %d was listed after %d", now.App, role, listed, version)
		}
	}
}

// success checks that what a worker said was published, and still was when clients looked later.
func (c *checker) success(s Success, seen []Observation, snapshots map[int64]map[string]int64) {
	looked := false
	for _, o := range seen {
		if o.Begun < s.Heard || o.Problem != "" {
			continue
		}
		looked = true
		if o.Timestamp < s.Versions["timestamp"] {
			c.complain("app %s: timestamp version %d was said to be published, and %d was seen later", s.App, s.Versions["timestamp"], o.Timestamp)
			break
		}
		if o.Snapshot < s.Versions["snapshot"] {
			c.complain("app %s: snapshot version %d was said to be published, and %d was seen later", s.App, s.Versions["snapshot"], o.Snapshot)
			break
		}
		if o.Timestamp == s.Versions["timestamp"] && s.Versions["snapshot"] != 0 && o.Snapshot != s.Versions["snapshot"] {
			c.complain("app %s: timestamp version %d did not bring snapshot version %d", s.App, o.Timestamp, s.Versions["snapshot"])
			break
		}
	}
	if !looked {
		c.complain("app %s: nobody has looked after timestamp version %d was said to be published", s.App, s.Versions["timestamp"])
	}
	snapshot, ok := s.Versions["snapshot"]
	if !ok {
		return
	}
	listed := snapshots[snapshot]
	if listed == nil {
		c.complain("app %s: snapshot version %d was said to be published, and is not there", s.App, snapshot)
		return
	}
	for role, version := range s.Versions {
		if role != "timestamp" && role != "snapshot" && listed[role] != version {
			c.complain("app %s: %s version %d was said to be published with snapshot version %d, which lists %d", s.App, role, version, snapshot, listed[role])
		}
	}
}
