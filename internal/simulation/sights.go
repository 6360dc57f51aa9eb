package simulation

import (
	"fmt"
	"maps"
	"slices"
)

// everybody returns the followers and a new one.
func (j *judge) everybody() []*follower {
	return append(slices.Clone(j.followers), j.newFollower(brandNew))
}

// isAhead reports whether a client has seen more than the store shows, and than the process knows.
func (r *rolling) isAhead(f *follower, s sight) bool {
	if !r.before.genuine || f.snapshot == nil || f.timestamp == nil {
		return false
	}
	if f.timestamp.by(r.view.roles["timestamp"]) && f.timestamp.version > r.before.timestamp.version {
		return true
	}
	if f.timestamp.version == r.before.timestamp.version && f.timestamp != r.before.timestamp {
		return true // a fork
	}
	if !f.snapshot.by(r.view.roles["snapshot"]) {
		return false
	}
	for role, e := range f.snapshot.meta {
		if e.version > r.floors[role].version {
			return true
		}
	}
	return false
}

// judgeSights judges what clients see after a process has worked.
func (r *rolling) judgeSights(published bool, failed error) {
	j := r.judge
	if !j.rootsThere() || !j.world.fails.none() || r.advanced {
		return
	}
	everybody := j.everybody()
	for i, f := range everybody {
		if i >= len(r.sights) {
			break
		}
		b := r.sights[i]
		if r.ahead[i] || b.err != nil {
			continue
		}
		a := j.look(f)
		if a.err != nil {
			j.complain(KindClient, "client %s could go on before a roll, and not after it: %v", f.name, a.err)
			continue
		}
		fresh := r.sights[len(r.sights)-1]
		for _, role := range slices.Sorted(maps.Keys(b.papers)) {
			only := r.only[role]
			// Or else its holders have uploaded what no client reads.
			if fresh.failed[role] == nil && (only == nil || !expired(only)) {
				r.judgeSight(f, role, b, a)
			}
		}
	}
	if published {
		j.followers = slices.DeleteFunc(j.followers, func(f *follower) bool {
			i := slices.Index(everybody, f)
			return r.ahead[i]
		})
		if !slices.ContainsFunc(j.followers, func(f *follower) bool { return f.name == "steady" }) {
			f := j.newFollower("steady")
			if j.refresh(f).err == nil {
				j.followers = append(j.followers, f)
			}
		}
	}
}

// judgeSight judges what a client sees of a role, before and after.
func (r *rolling) judgeSight(f *follower, role string, b, a sight) {
	j := r.judge
	if err := a.failed[role]; err != nil {
		old := j.declaredBy(b.papers["root"], func(role string) *paper { return b.papers[role] })[role]
		now := j.declaredBy(a.papers["root"], func(role string) *paper { return a.papers[role] })[role]
		if maps.Equal(old.halves(), now.halves()) && old.threshold == now.threshold {
			j.complain(KindClient, "client %s could load %s before a roll, and not after it: %v", f.name, role, err)
		}
		return
	}
	if a.versions[role] < b.versions[role] {
		if _, gone := a.versions[role]; gone || role == "timestamp" || role == "snapshot" {
			j.complain(KindClient, "client %s is taken back from %s %d to %d", f.name, role, b.versions[role], a.versions[role])
		}
		return
	}
	was, is := b.papers[role], a.papers[role]
	if was == nil || is == nil || isTop(role) && role != "targets" {
		return
	}
	if i, k := j.index(role, was.content), j.index(role, is.content); k >= 0 && k < i {
		j.complain(KindClient, "client %s is taken back from the words of %s's statement %d to %d", f.name, role, i+1, k+1)
	}
}

// rootsThere reports whether the store has all roots.
func (j *judge) rootsThere() bool {
	for i, root := range j.roots {
		if i > 0 && j.file(fmt.Sprintf("%d.root.json", i+1)) != root {
			return false
		}
	}
	return true
}
