package simulation

import (
	"maps"
	"slices"
	"strings"
)

func (r *rolling) judgeSignature(s signing) {
	j := r.judge
	if s.kind == "" {
		return
	}
	if s.paper.problem != nil {
		j.complain(KindForm, "key %s signed for role %s what no client reads: %v", j.name(s.keyID), s.role, s.paper.problem)
		return
	}
	switch s.kind {
	case "timestamp", "snapshot":
		if !r.names(s.kind, s.public) {
			j.complain(KindKey, "key %s signed a %s, and root %d does not name it", j.name(s.keyID), s.kind, r.view.version)
		}
		if s.kind == "snapshot" {
			r.judgeSnapshot(s.paper)
			return
		}
		r.judgeTimestamp(s.paper)
	case "targets":
		if !r.isWritten(s) {
			s.role = r.bin(s)
		}
		r.judgeKey(s)
		r.judgeWords(s.role, s.paper, true)
	}
}

// isWritten reports whether what is signed was written for the role.
func (r *rolling) isWritten(s signing) bool {
	return slices.Contains(r.written[s.paper.canonical], s.role)
}

// bin returns which bin has said what is signed, where the provider is asked once for all bins.
func (r *rolling) bin(s signing) string {
	if who, ok := r.tree[s.role]; ok && who.bits == 0 {
		return s.role
	}
	found := s.role
	for _, role := range slices.Sorted(maps.Keys(r.tree)) {
		if r.tree[role].bits == 0 || prefixOf(role) != s.role && !sameKeys(role, s.role) {
			continue
		}
		if r.judge.index(role, s.paper.content) >= 0 {
			return role
		}
		found = role
	}
	return found
}

// floor returns how far a role had come. A process that has a repository in its cache may sign
// before it finds that another has published. Then it begins again, and only what it knew counts.
func (r *rolling) floor(role string) (f floor, ok bool) {
	if r.again {
		f, ok = r.known[role]
		return f, ok
	}
	f, ok = r.floors[role]
	return f, ok
}

// names reports whether root names a key for a top-level role. For what was given up a root will do
// that the process knew.
func (r *rolling) names(role, public string) bool {
	if r.view.roles[role].halves()[public] {
		return true
	}
	for version := r.p.known.root; r.again && version > 0 && version < int(r.view.version); version++ {
		if r.judge.roots[version-1].roles[role].halves()[public] {
			return true
		}
	}
	return false
}

// judgeKey judges which key signed a targets document.
func (r *rolling) judgeKey(s signing) {
	j := r.judge
	who, ok := r.tree[s.role]
	if s.role == "targets" && r.names(s.role, s.public) {
		return
	}
	if r.again && (r.treeWas[s.role].halves()[s.public] || j.declared()[s.role].halves()[s.public] || j.wasNamed(s)) {
		return // the process knew documents that are not there now
	}
	if !ok || !who.halves()[s.public] {
		j.complain(KindKey, "key %s signed %s %d, and is not named for it", j.name(s.keyID), s.role, s.paper.version)
		return
	}
	own := r.holdsAll(who)
	for _, role := range j.above(s.role, r.doc) {
		own = own && r.holdsAll(r.tree[role])
	}
	if own {
		return
	}
	for role, other := range r.tree {
		if role != s.role && other.halves()[s.public] && (who.bits == 0 || !sameKeys(role, s.role)) {
			j.complain(KindLent, "key %s of %s signed %s %d, whose declarers are in other hands", j.name(s.keyID), role,
				s.role, s.paper.version)
			return
		}
	}
	for _, role := range []string{"root", "timestamp", "snapshot"} {
		if r.view.roles[role].halves()[s.public] {
			j.complain(KindLent, "key %s of %s signed %s %d", j.name(s.keyID), role, s.role, s.paper.version)
			return
		}
	}
	for _, d := range r.p.settings.Online {
		if d.Role == s.role || who.bits > 0 && d.Role == prefixOf(s.role) {
			return
		}
	}
	j.complain(KindLent, "key %s signed %s %d, whose declarers are in other hands, unnamed", j.name(s.keyID), s.role,
		s.paper.version)
}

// wasNamed reports whether some release has named a key for a role.
func (j *judge) wasNamed(s signing) bool {
	for _, versions := range j.listed {
		for _, p := range versions {
			for _, d := range p.delegations {
				if slices.Contains(d.names(), s.role) && d.halves()[s.public] {
					return true
				}
			}
		}
	}
	return false
}

// prefixOf returns the prefix of a bin's name.
func prefixOf(role string) string {
	if i := strings.LastIndexByte(role, '-'); i > 0 {
		return role[:i]
	}
	return role
}

// holdsAll reports whether the process's provider holds every key of a role.
func (r *rolling) holdsAll(who named) bool {
	for id := range who.keys {
		if !r.p.holds(id) {
			return false
		}
	}
	return true
}

// online reports whether a role is one that the process may sign.
func (r *rolling) online(role string) bool {
	who := r.tree[role]
	held := 0
	for id := range who.keys {
		if r.p.holds(id) {
			held++
		}
	}
	if held < who.threshold {
		return false
	}
	if role == "targets" || slices.ContainsFunc(r.p.settings.Online, func(d delegation) bool {
		return d.Role == role || d.Role == prefixOf(role)
	}) {
		return true
	}
	for _, above := range r.judge.above(role, r.doc) {
		if !r.holdsAll(r.tree[above]) {
			return false
		}
	}
	return r.holdsAll(who)
}

// judgeWords judges whether somebody entitled had said what is signed or newly listed.
func (r *rolling) judgeWords(role string, p *paper, signs bool) {
	j := r.judge
	verb := "signed"
	if !signs {
		verb = "listed"
	}
	i := j.index(role, p.content)
	if i < 0 {
		why := j.excused[role][p.content]
		if why == "" && r.believes(role, p) {
			why = "the operator's word"
		}
		if q := r.shownOnce[role]; why == "" && r.again && q != nil && q.content == p.content {
			why = "present keys signed it by the root that the process knew, and it was given up"
		}
		if q := r.shown[role]; why == "" && q != nil && q.content == p.content {
			why = "present keys signed it by the newest root that the process can know, and it was published"
		}
		if why == "" && r.isOnly(role, p) {
			why = "present keys signed it, and there is no other file"
		}
		if why == "" {
			j.complain(KindWords, "%s %d is %s, and says what nobody entitled has said of %s", role, p.version, verb, role)
			return
		}
		j.excuses[why]++
		return
	}
	if f, ok := r.floor(role); ok && i < f.said && !r.believes(role, p) && j.excused[role][p.content] == "" {
		j.complain(KindBack, "%s %d is %s with the words of its holders' statement %d, where %d was published",
			role, p.version, verb, i+1, f.said+1)
	}
}

// isOnly reports whether a document says what the one file of its role said before, without
// consistent snapshots. An attacker who holds a present key may have put it there. If another role
// has one of the keys, it may be that one's, and counts for nothing.
func (r *rolling) isOnly(role string, p *paper) bool {
	only, who := r.only[role], r.tree[role]
	return only != nil && only.content == p.content && only.by(who) && who.all(only.paths, role) &&
		!sharesKeys(role, r.tree)
}

// believes reports whether the operator has named a role's document, by its content.
func (r *rolling) believes(role string, p *paper) bool {
	for _, b := range r.p.settings.Believe {
		if b.Role == role {
			if q := r.judge.bySHA[b.SHA256]; q != nil && q.content == p.content {
				return true
			}
		}
	}
	return false
}
