package simulation

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// A recovery is what honest parties do in the end, when the attacker is locked out.
type recovery struct {
	*World
	j *judge
	p *process // the operator's, with the settings of the process main
}

// recover is the verb recover: the attacker is locked out, and honest parties do what is
// documented. Files that were tampered with are restored. Keys that were stolen are replaced, and
// the operator pins the newest root. Holders whose keys were replaced upload, or the operator names
// the document that is to be believed. Then rolls of all online roles have to succeed, and all
// clients go on.
func (w *World) recover(*words) string {
	if w.judge == nil {
		panic(mistake("recover needs the judge"))
	}
	w.fails = failures{}
	old := w.process("main")
	words := &words{}
	if old.memory != "" {
		words.left = append(words.left, "memory="+old.memory)
	}
	settings := old.settings
	w.start("recovery", words)
	r := recovery{w, w.judge, w.processes["recovery"]}
	r.p.settings = settings
	r.p.settings.Believe = nil
	r.restore()
	r.unname()
	r.undeclare()
	r.keepKeys()
	r.clean()
	r.replaceStolen()
	w.pinned = r.j.newest().data
	r.entitle()
	r.rollAll()
	r.allGoOn()
	return ""
}

// unname drops names of online roles whose keys other roles have too: no key signs for two of them.
func (r recovery) unname() {
	declared := r.declared()
	for role := range r.j.newest().roles {
		declared[role] = r.j.newest().roles[role]
	}
	r.p.settings.Online = slices.DeleteFunc(slices.Clone(r.p.settings.Online), func(d delegation) bool {
		for role, who := range declared {
			if uploadName(role, who) == d.Role && sharesKeys(role, declared) {
				return true
			}
		}
		return false
	})
}

var inTheWay = regexp.MustCompile(`\(([^()]*)\) does not verify: another file has the name`)

// rollAll rolls all online roles. If that fails, the operator gives the versions that were
// published last, for that roll. A file that is in the way is removed. If the store was put back,
// the app is forgotten.
func (r recovery) rollAll() {
	switched := r.wasPlain() == r.j.newest().consistent
	err := r.attempt(nil)
	if err == nil && switched { // what was uploaded for the new layout is read once there is a release in it
		err = r.attempt(nil)
	}
	if err != nil && r.wentBack && strings.Contains(err.Error(), "forget the app") {
		r.forget(&words{left: []string{"@recovery"}})
		err = r.attempt(nil)
	}
	if err != nil {
		r.p.settings.Versions = map[string]int64{}
		for role, e := range r.j.last.snapshot.meta {
			r.p.settings.Versions[role] = e.version
		}
		for role := range r.declared() {
			if _, ok := r.j.last.snapshot.meta[role]; !ok {
				r.p.settings.Versions[role] = r.versionOf(role)
			}
		}
		err = r.attempt(nil)
		r.p.settings.Versions = nil
	}
	for range 3 {
		match := inTheWay.FindStringSubmatch(fmt.Sprint(err))
		if match == nil {
			break
		}
		if err := r.store.Delete(r.t.Context(), match[1]); err != nil {
			panic(err)
		}
		err = r.attempt(nil)
	}
	if err != nil {
		r.j.complain(KindStuck, "a roll of all fails: %v", err)
		return
	}
	if roles := r.onlineRoles(false); len(roles) > 0 {
		// A key that is in force still, since an upload is not accepted, may have been thrown away.
		if err := r.attempt(roles); err != nil && !strings.Contains(err.Error(), "keys are available, without ") {
			r.j.complain(KindStuck, "a roll of %s fails: %v", strings.Join(roles, ", "), err)
		}
	}
	if err := r.attempt([]string{"timestamp"}); err != nil {
		r.j.complain(KindStuck, "a roll of the timestamp fails: %v", err)
	}
}

// versionOf returns the version of the document in force of a role that was not listed yet, 0 if
// there is none.
func (r recovery) versionOf(role string) int64 {
	if p := r.inForce(role); p != nil {
		return p.version
	}
	return 0
}

// attempt has the process roll, judged.
func (r recovery) attempt(roles []string) error {
	judging := r.j.before(r.p)
	r.p.take()
	_, err := r.p.updater.Roll(r.t.Context(), r.repo.App, roles)
	signed := r.p.take()
	r.judgeSignatures(signed)
	r.store.judge()
	judging.judgeAll(signed, err)
	return err
}

// restore puts back what honest parties wrote last.
func (r recovery) restore() {
	for _, name := range slices.Sorted(maps.Keys(r.j.honest)) {
		if data := r.j.honest[name]; !r.isListed(name) && string(r.read(name)) != string(data) {
			r.repo.Overwrite(r.t, r.file(name), data)
		}
	}
	planted := fmt.Sprintf("%d.root.json", r.root+1)
	if err := r.store.Delete(r.t.Context(), r.file(planted)); err != nil {
		panic(err)
	}
	for role, e := range r.j.last.snapshot.meta { // in the layout of the last release
		name := fmt.Sprintf("%d.%s.json", e.version, role)
		if p := r.j.listed[role][e.version]; p != nil && !r.wasPlain() && r.read(name) == nil {
			r.repo.Overwrite(r.t, r.file(name), p.data)
		} else if p != nil && r.wasPlain() && !r.isPlain() { // no upload counts before the switch is carried out
			r.repo.Overwrite(r.t, r.file(role+".json"), p.data)
			if later := r.j.read(r.j.honest[role+".json"]); later.problem == nil && later.version > e.version {
				r.repo.Overwrite(r.t, r.file(fmt.Sprintf("%d.%s.json", later.version, role)), later.data)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.j.last.names)) {
		if r.isVersioned(r.file(name)) && !r.isListed(name) { // under a plain name there may be a later upload
			r.repo.Overwrite(r.t, r.file(name), r.j.last.names[name].data)
		}
	}
	r.store.written = map[string]string{}
}

// isListed reports whether a file is listed by its hash. It stays, also with what an attacker put
// around what is signed.
func (r recovery) isListed(name string) bool {
	there := r.read(name)
	return there != nil && r.j.last.snapshot.meta[roleOf(name)].sha == r.j.read(there).sha
}

// isPlain reports whether files have plain names, and had them in the last release: in the layout
// before a switch only what is listed counts.
func (r recovery) isPlain() bool { return r.wasPlain() && !r.j.newest().consistent }

func (r recovery) wasPlain() bool {
	_, ok := r.j.last.names["snapshot.json"]
	return ok
}

// skips reports whether uploads for a role are skipped, since it is online.
func (r recovery) skips(role string) bool {
	listed := &rolling{judge: r.j, p: r.p, view: r.j.newest(), docs: r.j.last.papers}
	listed.tree = r.j.declaredBy(listed.view, listed.doc)
	who, ok := listed.tree[role]
	return !r.isPlain() && ok && listed.online(role) &&
		!slices.Contains(r.p.settings.Uploads, uploadName(role, who))
}

// inForce returns what counts as a role's document: what its holders said last. Where uploads are
// skipped, it is what is listed.
func (r recovery) inForce(role string) *paper {
	listed, said := r.j.last.papers[role], r.j.said[role]
	if len(said) == 0 || listed != nil && r.skips(role) {
		return listed
	}
	return said[len(said)-1]
}

// declared returns who signs for targets and the delegated roles, by what is in force.
func (r recovery) declared() map[string]named { return r.j.declaredBy(r.j.newest(), r.inForce) }

// declarer returns the role that declares a role, by what is in force.
func (r recovery) declarer(role string) string {
	if above := r.j.above(role, r.inForce); len(above) > 0 {
		return above[0]
	}
	return "targets"
}

// say has a role's holders upload a version or, where uploads are skipped, another tool publish it.
func (r recovery) say(role string, changes ...string) {
	r.nameKeys()
	changes = append(changes, "expires=10d")
	if r.skips(role) {
		r.release(&words{left: append([]string{role}, changes...)})
	} else {
		r.upload(&words{left: append([]string{role, "next"}, changes...)})
	}
	r.nameKeys()
}

// undeclare has holders take back what they declared with keys that are not the role's.
func (r recovery) undeclare() {
	declared := r.declared()
	for _, role := range slices.Sorted(maps.Keys(declared)) {
		if role == "targets" {
			continue
		}
		foreign := false
		for id := range declared[role].keys {
			of, _, _ := strings.Cut(r.names[id], "#")
			foreign = foreign || r.options.Share[role] == "" && of != role && of != prefixOf(role) && r.options.Share[of] != role
		}
		if foreign {
			r.say(r.declarer(role), "undelegate="+role)
		} else if by := r.declarer(role); r.inForce(by) != r.j.last.papers[by] { // which is not accepted
			r.mend(role, declared[role])
		}
	}
}

// keepKeys has the operator and holders use the keys that are in force. There may be later ones, in
// an upload that is skipped.
func (r recovery) keepKeys() {
	declared := r.declared()
	for _, role := range slices.Sorted(maps.Keys(declared)) {
		var all []*testKey
		for _, id := range slices.Sorted(maps.Keys(declared[role].keys)) {
			if name := r.names[id]; name != "" {
				all = append(all, r.key(name))
			}
		}
		if role != "targets" && len(all) >= max(1, declared[role].threshold) {
			r.repo.Keys[uploadName(role, declared[role])], r.repo.Keys[role] = all, all
		}
	}
}

// mend has holders correct what they declared of a role if that makes no sense.
func (r recovery) mend(role string, who named) {
	switch usable := len(who.usable()); {
	case collides(role), who.bits == 0 && r.hasBins(r.declarer(role)):
		r.say(r.declarer(role), "undelegate="+role)
	case usable == 0:
		r.say(r.declarer(role), "rekey="+uploadName(role, who))
	case usable < who.threshold:
		r.say(r.declarer(role), fmt.Sprintf("threshold=%s:%d", uploadName(role, who), usable))
	}
}

// hasBins reports whether a role declares succinct bins. Then it must not declare others.
func (r recovery) hasBins(role string) bool {
	return slices.ContainsFunc(r.inForce(role).delegations, func(d named) bool { return d.bits > 0 })
}

// collides reports whether a role has the name of another one's file.
func collides(role string) bool {
	return versioned.MatchString(role) || strings.Contains(role, ".json/")
}

// usable returns the public halves of the keys that can be used.
func (n named) usable() map[string]bool {
	all := map[string]bool{}
	for _, k := range n.keys {
		if _, err := k.ToPublicKey(); err == nil {
			all[half(k)] = true
		}
	}
	return all
}

// clean has another tool publish the documents of holders where an attacker's are published.
func (r recovery) clean() {
	s := r.j.published(r.j.newest())
	var roles []string
	for _, role := range slices.Sorted(maps.Keys(s.papers)) {
		if r.j.index(role, s.papers[role].content) < 0 && len(r.j.said[role]) > 0 {
			roles = append(roles, role)
		}
	}
	if len(roles) > 0 {
		r.release(&words{left: roles})
	}
}

// isStolen reports whether an attacker has one of a role's keys.
func (r recovery) isStolen(who named) bool {
	for public := range who.halves() {
		if r.j.stolen[public] {
			return true
		}
	}
	return false
}

// replaceStolen replaces the present keys that an attacker has.
func (r recovery) replaceStolen() {
	var roles []string
	for _, role := range []string{"root", "snapshot", "targets", "timestamp"} {
		if r.isStolen(r.j.newest().roles[role]) {
			roles = append(roles, role)
		}
	}
	if slices.Contains(roles, "snapshot") || slices.Contains(roles, "timestamp") {
		roles = append(roles, "snapshot", "timestamp") // clients may hold numbers that leave no room
		slices.Sort(roles)
		roles = slices.Compact(roles)
	}
	if len(roles) > 0 {
		r.rotate(&words{left: roles})
		r.nameKeys()
	}
	declared := r.declared()
	for _, role := range r.topDown(declared) { // so that new keys sign what declares new keys below
		who := declared[role]
		if role == "targets" || !r.isStolen(who) {
			continue
		}
		name := uploadName(role, who)
		isSafe := func(k *testKey) bool { return !r.j.stolen[half(k.Public)] }
		if !slices.ContainsFunc(r.repo.Keys[name], isSafe) { // or they were replaced just now
			r.say(r.declarer(role), "rekey="+name)
		}
	}
}

// entitle has holders or the operator do what roles need whose present keys have not signed what is
// listed. Holders of offline roles sign a new version. Of an online role the operator names the
// document that is listed, or the holders upload.
func (r recovery) entitle() {
	s := r.j.published(r.j.newest())
	if s.snapshot == nil {
		return
	}
	online := r.onlineRoles(true)
	declared := r.declared()
	for _, role := range r.topDown(declared) {
		doc, who := s.papers[role], declared[role]
		if r.troubled(role) || believed(r.p.settings.Believe, role) {
			continue
		}
		if r.isPlain() {
			doc = r.j.file(role + ".json") // the one that there is
			if said := r.inForce(role); doc != nil && said != nil && doc.content != said.content {
				doc = nil // which is not what holders said last
			}
		}
		isOnline, unlisted := slices.Contains(online, role), doc != nil && s.snapshot.meta[role].version != doc.version
		switch {
		case doc != nil && r.isPlain() && unlisted && isOnline && sharesKeys(role, declared):
			r.believe(role, doc)
		case doc != nil && doc.problem == nil && doc.by(who) && !expired(doc):
		case !isOnline:
			r.say(role)
		case doc != nil && !unlisted:
			r.believe(role, doc)
		default:
			r.p.settings.Uploads = append(slices.Clone(r.p.settings.Uploads), uploadName(role, who))
			r.say(role)
			if said := r.inForce(role); sharesKeys(role, declared) {
				r.believe(role, said)
			}
		}
	}
	r.j.afterStep()
}

func (r recovery) believe(role string, p *paper) {
	r.p.settings.Believe = append(r.p.settings.Believe, belief{Role: role, SHA256: p.sha})
}

// topDown returns roles in the order of their distance from targets.
func (r recovery) topDown(declared map[string]named) []string {
	depth := map[string]int{}
	for role := range declared {
		depth[role] = rank(role) + len(r.j.above(role, r.inForce))
	}
	roles := slices.Sorted(maps.Keys(declared))
	slices.SortStableFunc(roles, func(a, b string) int { return depth[a] - depth[b] })
	return roles
}

// rank puts targets before all delegated roles.
func rank(role string) int {
	if role == "targets" {
		return 0
	}
	return 1
}

// sharesKeys reports whether another targets role has one of a role's keys. Bins of one delegation
// are one role.
func sharesKeys(role string, declared map[string]named) bool {
	own := declared[role].halves()
	for name, other := range declared {
		if name == role || other.bits > 0 && sameKeys(name, role) {
			continue
		}
		for public := range other.halves() {
			if own[public] {
				return true
			}
		}
	}
	return false
}

// onlineRoles returns the targets roles that the process may sign, by what is in force: those that
// are listed, and new ones also if that is asked for.
func (r recovery) onlineRoles(also bool) (roles []string) {
	all := &rolling{judge: r.j, p: r.p, view: r.j.newest(), docs: map[string]*paper{}}
	all.tree = r.declared()
	for role := range all.tree {
		if p := r.inForce(role); p != nil {
			all.docs[role] = p
		}
	}
	for _, role := range slices.Sorted(maps.Keys(all.tree)) {
		_, listed := r.j.last.snapshot.meta[role]
		if (listed || also) && !r.troubled(role) && all.online(role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// troubled reports whether a role, or one above it, is declared in a way that makes no sense.
func (r recovery) troubled(role string) bool {
	declared := r.declared()
	for _, role := range append(r.j.above(role, r.inForce), role) {
		who := declared[role]
		if len(who.usable()) < who.threshold || collides(role) {
			return true
		}
	}
	return false
}

// allGoOn complains of clients that do not go on, and compares the judge's client with go-tuf's.
func (r recovery) allGoOn() {
	var fresh sight
	for _, f := range r.j.everybody() {
		s := r.j.look(f)
		if f.name == brandNew {
			fresh = s
		}
		if s.err != nil {
			r.j.complain(KindStuck, "client %s does not go on: %v", f.name, s.err)
		}
		for _, role := range slices.Sorted(maps.Keys(s.failed)) {
			if !r.troubled(role) {
				r.j.complain(KindStuck, "client %s cannot load %s: %v", f.name, role, s.failed[role])
			}
		}
	}
	foreign := testrepo.NewClient(r.t, r.store.Memory, r.repo.App, r.repo.Root, false)
	var seen map[string]int64
	err := quietly(func() (err error) {
		seen, err = foreign.Versions()
		return err
	})
	if (err == nil) != (fresh.err == nil) || err == nil && !maps.Equal(seen, fresh.versions) {
		r.j.complain(KindModel, "go-tuf's client sees %v (%v), the judge's %v (%v)", seen, err, fresh.versions, fresh.err)
	}
}

// uploadName returns the name that the operator's settings have for a role: of bins the prefix.
func uploadName(role string, who named) string {
	if who.bits > 0 {
		return prefixOf(role)
	}
	return role
}

// believed reports whether a belief of bins holds for a role.
func believed(all []belief, role string) bool {
	return slices.ContainsFunc(all, func(b belief) bool { return b.Role == prefixOf(role) && b.SHA256 == "" })
}
