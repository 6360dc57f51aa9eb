// Package history checks what observers and workers have recorded while repositories were rolled by
// processes that were killed: whether clients could have been let down at any moment, and whether
// what was said to be published was.
package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Record is what was seen and said. Moments are numbers of one clock, each of which is given out
// once.
type Record struct {
	Observations []Observation
	Successes    []Success
	Files        []File
	Snapshots    []Snapshot // all that successes speak of and that are there, read in the end
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
	Asked    []string         // the roles, and prefixes of bins, that the task was for
	Versions map[string]int64 // by role
}

// A File is the content that a file was found to have. A timestamp's name holds its version here.
type File struct {
	Name   string
	Digest string
}

// A Snapshot is what a snapshot lists.
type Snapshot struct {
	App     string
	Version int64
	Listed  map[string]int64 // versions by role
	Problem string           // why a client would not take it, or what it lists, if so
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
	snapshots := map[int64]Snapshot{}
	for _, s := range r.Snapshots {
		if s.App == app {
			snapshots[s.Version] = s
			if s.Problem != "" {
				c.complain("app %s: a client would not take snapshot version %d: %s", app, s.Version, s.Problem)
			}
		}
	}
	said := map[int64]map[string]int64{}
	for _, s := range r.Successes {
		if s.App == app {
			c.success(s, seen, snapshots)
			c.agrees(s, said)
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

// success checks that what a worker said was published, that it was what had been asked for, and
// that it stayed so when clients looked later.
func (c *checker) success(s Success, seen []Observation, snapshots map[int64]Snapshot) {
	timestamp := s.Versions["timestamp"]
	if timestamp == 0 {
		c.complain("app %s: at %d a task was said to be done without a timestamp", s.App, s.Heard)
		return
	}
	looked := false
	for _, o := range seen {
		if o.Begun < s.Heard || o.Problem != "" {
			continue
		}
		looked = true
		if wrong := s.missedBy(o); wrong != "" {
			c.complain("app %s: %s", s.App, wrong)
			break
		}
	}
	if !looked {
		c.complain("app %s: nobody has looked after timestamp version %d was said to be published", s.App, timestamp)
	}
	snapshot, ok := snapshots[s.Versions["snapshot"]]
	if s.Versions["snapshot"] != 0 && !ok {
		c.complain("app %s: snapshot version %d was said to be published, and is not there", s.App, s.Versions["snapshot"])
		return
	}
	for role, version := range s.targets() {
		if snapshot.Listed[role] != version {
			c.complain("app %s: %s version %d was said to be published with snapshot version %d, which lists %d",
				s.App, role, version, snapshot.Version, snapshot.Listed[role])
		}
	}
	for _, asked := range s.Asked {
		if !s.has(asked, snapshot) {
			c.complain("app %s: %s was asked for, and was not published with timestamp version %d", s.App, asked, timestamp)
		}
	}
}

// missedBy returns what is wrong if this is all that a client found later.
func (s Success) missedBy(o Observation) string {
	const older = "%s version %d was said to be published, and %d was seen later"
	if o.Timestamp < s.Versions["timestamp"] {
		return fmt.Sprintf(older, "timestamp", s.Versions["timestamp"], o.Timestamp)
	}
	if o.Snapshot < s.Versions["snapshot"] {
		return fmt.Sprintf(older, "snapshot", s.Versions["snapshot"], o.Snapshot)
	}
	if o.Timestamp == s.Versions["timestamp"] && s.Versions["snapshot"] != 0 && o.Snapshot != s.Versions["snapshot"] {
		return fmt.Sprintf("timestamp version %d did not bring snapshot version %d", o.Timestamp, s.Versions["snapshot"])
	}
	for role, version := range s.targets() {
		if o.Listed[role] < version {
			return fmt.Sprintf(older, role, version, o.Listed[role])
		}
	}
	return ""
}

// targets returns the versions of targets and delegated roles.
func (s Success) targets() map[string]int64 {
	versions := maps.Clone(s.Versions)
	delete(versions, "timestamp")
	delete(versions, "snapshot")
	return versions
}

// has reports whether a role was published, or each of the bins of a prefix.
func (s Success) has(asked string, snapshot Snapshot) bool {
	if s.Versions[asked] != 0 {
		return true
	}
	bins := 0
	for role := range snapshot.Listed {
		if strings.HasPrefix(role, asked+"-") {
			bins++
			if s.Versions[role] == 0 {
				return false
			}
		}
	}
	return bins > 0
}

// agrees checks that those who say they have published one timestamp say the same of it. Several
// may: rolls that were combined, and processes that signed the very same bytes.
func (c *checker) agrees(s Success, said map[int64]map[string]int64) {
	timestamp := s.Versions["timestamp"]
	if said[timestamp] == nil {
		said[timestamp] = map[string]int64{}
	}
	for role, version := range s.Versions {
		if before, ok := said[timestamp][role]; ok && before != version {
			c.complain("app %s: timestamp version %d was said to bring %s version %d, and %d", s.App, timestamp, role, before,
				version)
		}
		said[timestamp][role] = version
	}
}
