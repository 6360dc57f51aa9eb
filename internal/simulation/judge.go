package simulation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The kinds of the judge's complaints.
const (
	KindWords    = "words"    // an online key signed, or a snapshot newly lists, what nobody entitled had said
	KindBack     = "back"     // an online key signed or listed something older than what was published
	KindKey      = "key"      // a key signed for a role that does not name it
	KindLent     = "lent"     // an online key signed for a role whose declarer is in other hands
	KindUnlisted = "unlisted" // a snapshot lists a file that is not there, or that its keys have not signed
	KindLeaves   = "leaves"   // an entry left the snapshot
	KindHash     = "hash"     // what was signed is listed without length and SHA-256
	KindForm     = "form"     // a file is not written in the one form
	KindClient   = "client"   // a client that could go on is rejected, or taken back
	KindStuck    = "stuck"    // honest parties did what is documented, and the app does not go on
	KindModel    = "model"    // the judge's client and go-tuf's disagree
	KindOther    = "other"    // a rule of all histories, see the package's comment
)

// A Complaint is a rule that does not hold.
type Complaint struct {
	Kind, Text string
	form       string // of the text
}

// Like reports whether another complaint is of the same kind, and of the same form.
func (c Complaint) Like(other Complaint) bool { return c.Kind == other.Kind && c.form == other.form }

func (c Complaint) String() string { return c.Kind + ": " + c.Text }

// A judge holds the rules of trust. It keeps its own record of who was entitled to say something,
// and when. It sees each message that an online key signs.
type judge struct {
	world *World
	found []Complaint
	step  string // that is under way

	ignored []string // kinds of complaints

	papers map[string]*paper // by bytes
	bySHA  map[string]*paper

	roots     []*paper                     // that root's holders have signed, in order
	said      map[string][]*paper          // by targets role: what its holders have said, in order
	excused   map[string]map[string]string // by role and content: why other words may be signed
	genuine   map[string]bool              // SHA-256 of timestamps and snapshots of releases
	listed    map[string]map[int64]*paper  // by role and version: what releases list
	snapshots map[int64]*paper             // of releases, by version
	honest    map[string][]byte            // by name: what honest parties wrote last
	last      release                      // the newest
	both      bool                         // it is under both names
	memories  map[string]*knowledge        // durable ones
	stolen    map[string]bool              // keys, by their public halves
	excuses   map[string]int               // how often a reason counted

	followers  []*follower
	signatures int // that were judged
}

// A release is what an honest party published.
type release struct {
	timestamp, snapshot *paper
	papers              map[string]*paper
	names               map[string]*paper // by the names that the files had
}

// A knowledge is what a process must remember.
type knowledge struct {
	root   int
	floors map[string]floor
}

// A floor is how far a role had come: nothing older may be signed or listed.
type floor struct {
	version int64
	said    int // the index of the statement, -1 if the content is nobody's
}

func newKnowledge() *knowledge { return &knowledge{floors: map[string]floor{}} }

// raise raises floors to those of another knowledge.
func (k *knowledge) raise(floors map[string]floor) {
	for role, f := range floors {
		old, ok := k.floors[role]
		if !ok {
			old.said = -1
		}
		k.floors[role] = floor{max(f.version, old.version), max(f.said, old.said)}
	}
}

func newJudge(w *World) *judge {
	return &judge{
		world: w, papers: map[string]*paper{}, bySHA: map[string]*paper{}, said: map[string][]*paper{},
		excused: map[string]map[string]string{}, genuine: map[string]bool{}, listed: map[string]map[int64]*paper{},
		snapshots: map[int64]*paper{}, honest: map[string][]byte{}, memories: map[string]*knowledge{},
		stolen: map[string]bool{}, excuses: map[string]int{},
	}
}

// complain notes that a rule does not hold. The same is said once.
func (j *judge) complain(kind, format string, args ...any) {
	c := Complaint{kind, fmt.Sprintf(format, args...) + " [" + j.step + "]", format}
	if !slices.Contains(j.found, c) && !slices.Contains(j.ignored, kind) {
		j.found = append(j.found, c)
	}
}

func (j *judge) newest() *paper { return j.roots[len(j.roots)-1] }

// index returns the index of the last statement of a role that has a content, -1 if the role's
// holders have not said it.
func (j *judge) index(role, content string) int {
	for i, said := range slices.Backward(j.said[role]) {
		if said.content == content {
			return i
		}
	}
	return -1
}

// excuse notes why a content of a role may be signed, although its holders have not said it.
func (j *judge) excuse(role, content, why string) {
	if j.excused[role] == nil {
		j.excused[role] = map[string]string{}
	}
	if j.excused[role][content] == "" {
		j.excused[role][content] = why
	}
}

// begin records the repository as it was set up.
func (j *judge) begin() {
	j.roots = []*paper{j.read(j.world.repo.Root)}
	for name, data := range j.world.files() {
		name = strings.TrimPrefix(name, j.world.repo.App+"/")
		j.honest[name] = data
		if p := j.read(data); p.problem == nil && p.kind == "targets" {
			j.said[roleOf(name)] = append(j.said[roleOf(name)], p)
		}
	}
	j.release()
	j.followers = []*follower{j.newFollower("setup"), j.newFollower("steady")}
	for _, f := range j.followers {
		j.refresh(f)
	}
}

// says records a document that holders of a role upload or publish, if they are entitled to.
func (j *judge) says(role, name string, data []byte) {
	j.honest[name] = data
	p := j.read(data)
	if p.problem != nil || p.kind != "targets" {
		return
	}
	if who, ok := j.declared()[role]; ok && !p.by(who) {
		return
	}
	mine := func(s sealed) bool {
		return slices.ContainsFunc(j.world.repo.Keys[role], func(k *testKey) bool { return k.ID == s.id })
	}
	if slices.ContainsFunc(p.signed, mine) {
		j.said[role] = append(j.said[role], p)
	}
}

// declared returns who signs for targets and the delegated roles, by the newest that their holders
// have said.
func (j *judge) declared() map[string]named {
	return j.declaredBy(j.newest(), func(role string) *paper {
		if all := j.said[role]; len(all) > 0 {
			return all[len(all)-1]
		}
		return nil
	})
}

// declaredBy returns who signs for targets and the delegated roles, by the documents that look
// returns.
func (j *judge) declaredBy(root *paper, look func(role string) *paper) map[string]named {
	all := map[string]named{}
	if top := look("targets"); top != nil {
		all = j.walk(top, map[string]*paper{}, func(n named) *paper { return look(n.name) })
	}
	all["targets"] = root.roles["targets"]
	return all
}

// above returns the delegated roles between a role and targets, by the documents that look returns.
func (j *judge) above(role string, look func(role string) *paper) (roles []string) {
	parent := map[string]string{}
	queue := []string{"targets"}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		p := look(at)
		if p == nil {
			continue
		}
		for _, d := range p.delegations {
			for _, name := range d.names() {
				if _, ok := parent[name]; !ok && !isTop(name) {
					parent[name] = at
					queue = append(queue, name)
				}
			}
		}
	}
	for at := parent[role]; at != "" && at != "targets"; at = parent[at] {
		roles = append(roles, at)
	}
	return roles
}

// rootSigned records a root that its holders have signed.
func (j *judge) rootSigned(name string, data []byte) {
	j.honest[name] = data
	j.roots = append(j.roots, j.read(data))
}

// changesLayout judges what clients see of a new root, where the release is under both names.
func (j *judge) changesLayout(change func()) {
	var before []sight
	everybody := j.everybody()
	for _, f := range everybody {
		before = append(before, j.look(f))
	}
	change()
	for i, f := range everybody {
		if s := j.look(f); j.both && before[i].err == nil && s.err != nil {
			j.complain(KindClient, "client %s does not go on after a switch, though both names are there: %v", f.name, s.err)
		}
	}
}

// used notes that an attacker uses keys. Those of nobody are the attacker's own.
func (j *judge) used(all []*testKey) {
	for _, k := range all {
		if !strings.HasPrefix(j.world.names[k.ID], "mallory#") {
			j.stolen[half(k.Public)] = true
		}
	}
}

// A state is what the store holds, as the timestamp leads to it.
type state struct {
	timestamp, snapshot *paper            // nil if they cannot be read
	papers              map[string]*paper // by role, of those that are as listed
	names               map[string]*paper // by the names that the files have
	genuine             bool              // an honest party, or a thief with present keys, published it
}

// find returns the file of a role that is as listed, in either layout, nil if there is none.
func (j *judge) find(view *paper, role string, e entry) *paper {
	p, _ := j.findNamed(view, role, e)
	return p
}

func (j *judge) findNamed(view *paper, role string, e entry) (p *paper, name string) {
	versioned := fmt.Sprintf("%d.%s.json", e.version, role)
	for _, name := range []string{view.named(role, e.version), versioned, role + ".json"} {
		p := j.file(name)
		if p != nil && p.problem == nil && p.version == e.version && (e.sha == "" || e.sha == p.sha) {
			return p, name
		}
	}
	return nil, ""
}

// published returns what the store holds, for one who trusts a root.
func (j *judge) published(view *paper) (s state) {
	s.papers, s.names = map[string]*paper{}, map[string]*paper{}
	s.timestamp = j.file("timestamp.json")
	if s.timestamp == nil || s.timestamp.problem != nil {
		s.timestamp = nil
		return s
	}
	var name string
	if s.snapshot, name = j.findNamed(view, "snapshot", s.timestamp.meta["snapshot"]); s.snapshot == nil {
		return s
	}
	s.names[name] = s.snapshot
	for role, e := range s.snapshot.meta {
		if p, name := j.findNamed(view, role, e); p != nil {
			s.papers[role], s.names[name] = p, p
		}
	}
	s.genuine = (j.genuine[s.timestamp.sha] || s.timestamp.by(view.roles["timestamp"])) &&
		(j.genuine[s.snapshot.sha] || s.snapshot.by(view.roles["snapshot"]))
	return s
}

// release records what the store holds as a release by an honest party.
func (j *judge) release() {
	s := j.published(j.newest())
	if s.snapshot == nil {
		return
	}
	j.restoreListed(s)
	j.last = release{s.timestamp, s.snapshot, s.papers, s.names}
	j.genuine[s.timestamp.sha], j.genuine[s.snapshot.sha] = true, true
	j.snapshots[s.snapshot.version] = s.snapshot
	j.honest["timestamp.json"] = s.timestamp.data
	for role, p := range s.papers {
		if j.listed[role] == nil {
			j.listed[role] = map[int64]*paper{}
		}
		j.listed[role][p.version] = p
	}
	if !j.newest().consistent {
		j.honest["snapshot.json"] = s.snapshot.data
		for role, p := range s.papers {
			j.honest[role+".json"] = p.data
		}
	}
}

// restoreListed puts what releases list in the place of what an attacker exchanged for it. No hash
// may be listed that tells them apart.
func (j *judge) restoreListed(s state) {
	declared := j.declared()
	for name, p := range s.names {
		role := roleOf(name)
		listed := j.listed[role][p.version]
		if p.kind != "targets" || listed == nil || listed == p {
			continue
		}
		// Or what is not signed was changed, as signatures are added.
		envelope := p.canonical == listed.canonical && string(j.honest[name]) != string(p.data)
		if !p.by(declared[role]) || envelope {
			s.papers[role], s.names[name] = listed, listed
		}
	}
}

// afterStep looks at the store after a step that was no process's. What an attacker with present
// keys published counts as published.
func (j *judge) afterStep() {
	for _, data := range j.world.files() {
		j.read(data)
	}
	root := j.newest()
	for role, p := range j.shown(root, j.published(root)) {
		if j.index(role, p.content) < 0 {
			j.excuse(role, p.content, "present keys signed it, and it was published")
		}
	}
	for _, f := range j.followers {
		if f.name == "steady" {
			copied := *f
			copied.targets = maps.Clone(f.targets)
			if j.refresh(&copied).err == nil {
				*f = copied
			}
		}
	}
}

// shown returns the documents that are listed, and signed by the keys that one who trusts a root
// takes for the present ones.
func (j *judge) shown(root *paper, s state) map[string]*paper {
	all := map[string]*paper{}
	if !s.genuine || s.papers["targets"] == nil {
		return all
	}
	look := func(role string) *paper { return s.papers[role] }
	for role, who := range j.declaredBy(root, look) {
		if p := s.papers[role]; p != nil && p.by(who) && who.all(p.paths, role) {
			all[role] = p
		}
	}
	return all
}

// view returns the newest root that a process knows: by its pin, by what it remembers, and by what
// the store has after that. It is nil if no root of this repository is pinned.
func (j *judge) view(p *process) *paper {
	at := 0
	for i, root := range j.roots {
		if string(root.data) == string(j.world.pinned) {
			at = i + 1
		}
	}
	if at == 0 {
		return nil
	}
	at = max(at, j.known(p).root)
	for at < len(j.roots) {
		if next := j.file(fmt.Sprintf("%d.root.json", at+1)); next != j.roots[at] {
			break
		}
		at++
	}
	return j.roots[at-1]
}

// known returns what a process must know: of itself, and by its durable memory.
func (j *judge) known(p *process) *knowledge {
	all := newKnowledge()
	all.root = p.known.root
	all.raise(p.known.floors)
	if m := j.memories[p.memory]; m != nil {
		all.root = max(all.root, m.root)
		all.raise(m.floors)
	}
	return all
}

// learn has a process, and its durable memory, know more.
func (j *judge) learn(p *process, root int, floors map[string]floor) {
	p.known.root = max(p.known.root, root)
	p.known.raise(floors)
	if p.memory == "" {
		return
	}
	if j.memories[p.memory] == nil {
		j.memories[p.memory] = newKnowledge()
	}
	m := j.memories[p.memory]
	m.root = max(m.root, root)
	m.raise(floors)
}

// floorsOf returns how far roles are in a snapshot.
func (j *judge) floorsOf(snapshot *paper, papers map[string]*paper) map[string]floor {
	all := map[string]floor{}
	for role, e := range snapshot.meta {
		p := j.listed[role][e.version]
		if p == nil {
			p = papers[role]
		}
		f := floor{e.version, -1}
		if p != nil {
			f.said = j.index(role, p.content)
		}
		all[role] = f
	}
	return all
}

// floors returns how far roles have come, for a process: by what it knows, and by what the store
// shows without doubt. To a process that remembers nothing a whole earlier state looks genuine.
func (j *judge) floors(p *process, view *paper, s state) map[string]floor {
	all := newKnowledge()
	if s.genuine {
		all.raise(j.floorsOf(s.snapshot, s.papers))
	} else {
		all.raise(j.remains(view))
	}
	all.raise(j.known(p).floors)
	for role, version := range p.settings.Versions {
		if f, ok := all.floors[role]; ok && f.version >= version {
			all.floors[role] = floor{version, -1}
		}
	}
	return all.floors
}

// remains returns how far roles have come by what is left in the store, where the timestamp or the
// snapshot is not genuine: by the newest snapshot of a release whose files are all there, or by the
// files that releases list. If an attacker has taken or exchanged files of the newest, the store
// shows an earlier state, as one that was put back does. Only if no snapshot is whole, and one has
// to be made, the newest counts all the same.
func (j *judge) remains(view *paper) map[string]floor {
	var newest, whole *paper
	all := map[string]floor{}
	for name, data := range j.world.files() {
		p := j.read(data)
		if p.problem != nil {
			continue
		}
		role := roleOf(strings.TrimPrefix(name, j.world.repo.App+"/"))
		switch {
		case p.kind == "snapshot" && j.genuine[p.sha] && p.by(view.roles["snapshot"]):
			if newest == nil || newest.version < p.version {
				newest = p
			}
			if (whole == nil || whole.version < p.version) && j.isWhole(view, p) {
				whole = p
			}
		case p.kind == "targets" && j.listed[role][p.version] == p:
			f := floor{p.version, j.index(role, p.content)}
			if all[role].version < f.version {
				all[role] = f
			}
		}
	}
	if newest = cmp.Or(whole, newest); newest != nil {
		return j.floorsOf(newest, nil)
	}
	return all
}

// isWhole reports whether the store has all files that a snapshot lists, to the byte, and they
// verify.
func (j *judge) isWhole(view, snapshot *paper) bool {
	papers := map[string]*paper{}
	for role, e := range snapshot.meta {
		if papers[role] = j.find(view, role, e); papers[role] == nil || papers[role] != j.listed[role][e.version] {
			return false
		}
	}
	for role, who := range j.declaredBy(view, func(role string) *paper { return papers[role] }) {
		if p := papers[role]; p != nil && !p.by(who) {
			return false
		}
	}
	return true
}

// declaredKey returns the public half of a key that a provider is asked for.
func declaredKey(declared json.RawMessage) string {
	var k metadata.Key
	if json.Unmarshal(declared, &k) != nil {
		return ""
	}
	return half(&k)
}
