package simulation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/tufupdate"
)

type (
	testKey    = testrepo.Key
	delegation = tufupdate.Delegation
	belief     = tufupdate.Belief
)

// A rolling is a process's work between two looks of the judge.
type rolling struct {
	judge     *judge
	p         *process
	view      *paper // nil: no root of this repository is pinned
	before    state
	floors    map[string]floor
	known     map[string]floor // of these, what the process must know
	sights    []sight          // of the followers, and of a new one
	ahead     []bool
	shown     map[string]*paper // by role: listed, and signed by the keys of the view
	shownOnce map[string]*paper // likewise, by the root that the process knew
	only      map[string]*paper // without consistent snapshots: the one file that a role had before

	advanced bool // time passed: clients may reject what expired

	after   state
	docs    map[string]*paper // by role: what is signed and listed now
	tree    map[string]named
	treeWas map[string]named    // before this roll
	written map[string][]string // roles, by what is signed
	message map[string][]*paper // by role and version: signed in this roll
	again   bool                // what is judged was given up: the process began again
}

// before looks at everything before a process works.
func (j *judge) before(p *process) *rolling {
	r := &rolling{judge: j, p: p, view: j.view(p)}
	j.world.store.takeWrites()
	if r.view == nil {
		return r
	}
	r.before = j.published(r.view)
	r.floors = j.floors(p, r.view, r.before)
	r.known = p.known.floors
	r.shown = j.shown(r.view, r.before)
	if root := j.known(p).root; root > 0 {
		r.shownOnce = j.shown(j.roots[root-1], r.before)
	}
	r.only = map[string]*paper{}
	if !r.view.consistent {
		for name := range j.world.files() {
			name = strings.TrimPrefix(name, j.world.repo.App+"/")
			p := j.file(name)
			if p.problem == nil && (p.kind == "targets" || p.kind == "snapshot") && !versioned.MatchString(name) {
				r.only[roleOf(name)] = p
			}
		}
	}
	for _, f := range j.everybody() {
		s := j.look(f)
		r.sights = append(r.sights, s)
		r.ahead = append(r.ahead, r.isAhead(f, s))
	}
	return r
}

// judgeAll judges what a process has signed, written and published. The error is its own.
func (r *rolling) judgeAll(signed []signing, failed error) {
	j := r.judge
	writes := j.world.store.takeWrites()
	j.signatures += len(signed)
	if r.view == nil {
		if len(signed) > 0 {
			j.complain(KindKey, "%d signatures, and no root of this repository is pinned", len(signed))
		}
		return
	}
	for _, w := range writes {
		if j.papers[string(w.data)] == nil && !wellFormed(w.data) {
			j.complain(KindForm, "%s is not written in the one form", w.name)
		}
	}
	r.after = j.published(r.view)
	r.prepare(signed, writes)
	published := slices.ContainsFunc(writes, func(w written) bool { return w.name == "timestamp.json" })
	for _, s := range signed {
		r.again = r.p.known.root > 0 && (!published || !r.isPublished(s))
		r.judgeSignature(s)
	}
	for _, w := range writes {
		j.honest[w.name] = w.data
	}
	r.judgeSights(published, failed)
	if published {
		r.judgeHashes(signed)
		r.judgeSigners()
		j.release()
		j.both = r.p.settings.BothLayouts && j.world.fails.none()
		j.learn(r.p, int(r.view.version), j.floorsOf(j.last.snapshot, j.last.papers))
	}
	j.afterStep()
}

// isPublished reports whether the timestamp leads to what was signed.
func (r *rolling) isPublished(s signing) bool {
	p := r.after.papers[s.role]
	switch s.kind {
	case "timestamp":
		p = r.after.timestamp
	case "snapshot":
		p = r.after.snapshot
	}
	return p != nil && p.canonical == s.paper.canonical
}

// prepare finds out of which roles documents are that were signed, and who signs for roles now.
func (r *rolling) prepare(signed []signing, writes []written) {
	j := r.judge
	r.written, r.message = map[string][]string{}, map[string][]*paper{}
	for _, w := range writes {
		if p := j.read(w.data); p.problem == nil {
			r.written[p.canonical] = append(r.written[p.canonical], roleOf(w.name))
		}
	}
	snapshot := r.before.snapshot
	declared := j.declared()
	for i := range signed {
		s := &signed[i]
		s.paper = &paper{seals: map[string]bool{}}
		s.paper.problem = s.paper.parseSigned(s.message)
		who, known := declared[s.role]
		roles := r.written[s.paper.canonical]
		if len(roles) > 0 && !slices.Contains(roles, s.role) && (!known || who.bits > 0) {
			s.role = roles[0] // the provider was asked for the prefix of bins
		}
		for _, role := range append(slices.Clone(r.written[s.paper.canonical]), s.role, prefixOf(s.role)) {
			id := fmt.Sprintf("%s %d", role, s.paper.version)
			r.message[id] = append(r.message[id], s.paper)
		}
		switch s.kind {
		case "snapshot":
			snapshot = s.paper
		case "timestamp":
			e := s.paper.meta["snapshot"]
			if led := j.find(r.view, "snapshot", e); led != nil && len(r.messages("snapshot", e.version)) == 0 {
				snapshot = led
			}
		}
	}
	r.docs = map[string]*paper{}
	if snapshot != nil {
		for role, e := range snapshot.meta {
			if p := r.resolve(role, e); p != nil {
				r.docs[role] = p
			}
		}
	}
	r.tree = r.declared()
	r.treeWas = j.declaredBy(r.view, func(role string) *paper { return j.last.papers[role] })
}

// declared returns who signs for targets and the delegated roles, by the documents that are listed
// now. A file that an attacker put in the place of one of them counts for nothing.
func (r *rolling) declared() map[string]named {
	j := r.judge
	genuine := func(who named) *paper {
		p := r.docs[who.name]
		if p == nil || p.problem != nil || r.signedNow(who.name, p) || p.by(who) {
			return p
		}
		if listed := j.listed[who.name][p.version]; listed != nil {
			r.docs[who.name] = listed
			return listed
		}
		return p
	}
	all := map[string]named{}
	if top := genuine(r.view.roles["targets"]); top != nil {
		all = j.walk(top, map[string]*paper{}, genuine)
	}
	all["targets"] = r.view.roles["targets"]
	return all
}

func (r *rolling) doc(role string) *paper { return r.docs[role] }

// messages returns what was signed in this roll as a role's version.
func (r *rolling) messages(role string, version int64) []*paper {
	return r.message[fmt.Sprintf("%s %d", role, version)]
}

// signedNow reports whether a document was signed in this roll.
func (r *rolling) signedNow(role string, p *paper) bool {
	return slices.ContainsFunc(r.messages(role, p.version), func(m *paper) bool { return m.canonical == p.canonical })
}

// resolve returns the document that an entry lists.
func (r *rolling) resolve(role string, e entry) *paper {
	j := r.judge
	if p := j.bySHA[e.sha]; p != nil {
		return p
	}
	if all := r.messages(role, e.version); len(all) > 0 {
		return all[len(all)-1]
	}
	if p := j.find(r.view, role, e); p != nil {
		return p
	}
	return j.listed[role][e.version] // it may be in a process's cache
}

// name returns the name of a key.
func (j *judge) name(id string) string {
	if name := j.world.names[id]; name != "" {
		return name
	}
	return "of a stranger"
}
