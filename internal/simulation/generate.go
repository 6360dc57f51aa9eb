package simulation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Live makes a history from a seed, and lives it until the judge complains or it ends. The same
// seed makes the same history.
func Live(t testing.TB, seed uint64, ignored ...string) (History, *World) {
	w := NewJudged(t, ignored...)
	g := &generator{world: w, Rand: rand.New(rand.NewPCG(seed, 1)), old: map[string][]string{}}
	g.live(seed)
	return g.history, w
}

// Relive lives a history until the judge complains or it ends. The error says that a step is not
// written as it should.
func Relive(t testing.TB, h History, ignored ...string) (*World, error) {
	w := NewJudged(t, ignored...)
	for _, s := range h.Steps {
		if _, err := w.Run(s); err != nil {
			return w, err
		}
		if len(w.judge.found) > 0 {
			break
		}
	}
	return w, nil
}

// A generator makes a history, step by step, of what the world has.
type generator struct {
	*rand.Rand
	world   *World
	history History
	old     map[string][]string // names of replaced keys, by role
	saves   []string
	n       int // of processes
	memory  bool
}

// over is the panic that ends a history.
type over struct{}

func (g *generator) live(seed uint64) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(over); !ok {
				panic(r)
			}
		}
	}()
	g.setUp(seed)
	for range 1 + g.IntN(3) {
		g.scene()
	}
	g.do("recover")
}

// do runs a step and adds it to the history, unless it cannot be done now. It reports whether it
// was.
func (g *generator) do(verb string, words ...string) bool {
	s := Step{Verb: verb, Words: words}
	if len(g.history.Steps) > 60 {
		return false
	}
	if _, err := g.world.Run(s); err != nil {
		return false
	}
	g.history.Steps = append(g.history.Steps, s)
	if len(g.world.judge.found) > 0 {
		panic(over{})
	}
	return true
}

// maybe does something with a probability in percent.
func (g *generator) maybe(percent int, does ...func()) bool {
	if g.IntN(100) >= percent {
		return false
	}
	for _, do := range does {
		do()
	}
	return true
}

func pick[T any](g *generator, all ...T) T { return all[g.IntN(len(all))] }

// setUp builds a repository and starts a process.
func (g *generator) setUp(seed uint64) {
	var words []string
	add := func(percent int, options ...string) {
		if g.maybe(percent) {
			words = append(words, pick(g, options...))
		}
	}
	add(35, "inconsistent")
	add(35, "hashes")
	shape := g.IntN(100)
	var roles []string
	switch {
	case shape < 25:
	case shape < 45:
		words, roles = append(words, "delegate=team:team/*:team/file"), []string{"team"}
	case shape < 65:
		words = append(words, "delegate=team:team/*:team/file", "delegate=team>inner:team/*:team/inner")
		roles = []string{"team", "inner"}
	case shape < 85:
		words = append(words, "delegate=a:a/*:a/file", "delegate=b:b/*:b/file")
		roles = []string{"a", "b"}
	case shape < 98:
		words = append(words, pick(g, "succinct=1", "succinct=2"), "bintarget=some/file")
		roles = []string{"bin"}
	default:
		words, roles = append(words, "hashbins=1"), []string{"bins"}
	}
	all := append([]string{"targets", "snapshot", "timestamp"}, roles...)
	switch {
	case g.maybe(25):
		one, other := pick(g, all...), pick(g, all...)
		if len(roles) == 2 && g.maybe(50) {
			one, other = roles[0], roles[1]
		}
		if one != other && one != "bins" && other != "bins" && one != "bin" && other != "bin" {
			words = append(words, "share="+one+":"+other)
		}
	case g.maybe(15):
		words = append(words, "threshold="+pick(g, all...)+":2")
	case len(roles) > 0 && roles[0] != "bin" && roles[0] != "bins":
		add(15, "custody="+roles[0]+":1/2")
	}
	var offline []string
	for _, role := range append([]string{"targets"}, roles...) {
		if g.maybe(40) {
			offline = append(offline, role)
		}
	}
	if len(offline) > 0 {
		words = append(words, "offline="+strings.Join(offline, ","))
	}
	if len(words) == 0 {
		words = []string{"plain"}
	}
	g.do("repo", words...)
	g.history.Steps[0].Above = []string{fmt.Sprintf("# Seed %d.", seed)}
	g.memory = g.maybe(50)
	g.start("main")
	g.maybe(70, g.roll)
}

// start starts a process. It may still have keys that were replaced.
func (g *generator) start(name string) {
	words := []string{"@" + name}
	if g.memory {
		words = append(words, "memory=m")
	}
	if kept := g.replaced(); len(kept) > 0 && g.maybe(60) {
		words = append(words, "with="+strings.Join(kept, ","))
	}
	if slices.Contains(g.roles(), "bin-0") {
		g.maybe(40, func() { words = append(words, "hashbins") })
	}
	if role := g.delegated(); role != "" {
		g.maybe(15, func() {
			if declarer := g.declarer(role); declarer != "" {
				words = append(words, "online="+declarer+">"+role)
			}
		})
		g.maybe(10, func() { words = append(words, "uploads="+role) })
	}
	g.maybe(15, func() { words = append(words, "bothlayouts") })
	g.do("restart", words...)
}

// replaced returns the keys that were replaced.
func (g *generator) replaced() (names []string) {
	for _, role := range slices.Sorted(maps.Keys(g.old)) {
		names = append(names, g.old[role]...)
	}
	return names
}

// roles returns the targets roles that are declared.
func (g *generator) roles() []string {
	declared := g.world.judge.declared()
	delete(declared, "targets")
	return append([]string{"targets"}, slices.Sorted(maps.Keys(declared))...)
}

// delegated returns a delegated role, "" if there is none.
func (g *generator) delegated() string {
	roles := g.roles()[1:]
	if len(roles) == 0 {
		return ""
	}
	return pick(g, roles...)
}

// keys returns the names of a role's present keys.
func (g *generator) keys(role string) (names []string) {
	for _, k := range g.world.repo.Keys[role] {
		names = append(names, g.world.names[k.ID])
	}
	return names
}

// declarer returns the role that declares a role, by the newest that holders have said.
func (g *generator) declarer(role string) string {
	for _, parent := range slices.Sorted(maps.Keys(g.world.judge.said)) {
		all := g.world.judge.said[parent]
		for _, d := range all[len(all)-1].delegations {
			if slices.Contains(d.names(), role) {
				return parent
			}
		}
	}
	return ""
}

// say has a role's holders upload a change or, where the role is online and uploads are skipped,
// another tool publish it.
func (g *generator) say(role, change string) bool {
	r := recovery{g.world, g.world.judge, g.world.process("main")}
	if r.skips(role) && g.maybe(85) {
		return g.do("publish", role, change)
	}
	return g.do("upload", role, "next", change)
}

// path returns the path of a target file that a role may have: of a bin one that falls into it.
func (g *generator) path(role string) string {
	who := g.world.judge.declared()[role]
	for n := g.IntN(5); ; n++ {
		if path := fmt.Sprintf("%s/f%d", role, n); who.all([]string{path}, role) {
			return path
		}
	}
}

// anyProcess returns a process that there is, or a new one.
func (g *generator) anyProcess() string {
	if g.maybe(50) {
		return "main"
	}
	if g.n > 0 && g.maybe(40) {
		return fmt.Sprintf("p%d", 1+g.IntN(g.n))
	}
	return g.fresh()
}

// fresh starts a process that remembers nothing of its own.
func (g *generator) fresh() string {
	g.n++
	name := fmt.Sprintf("p%d", g.n)
	g.start(name)
	return name
}

func (g *generator) roll() { g.rollBy(g.anyProcess()) }

func (g *generator) rollBy(name string) {
	words := []string{"@" + name}
	switch n := g.IntN(100); {
	case n < 45:
	case n < 60:
		words = append(words, "timestamp")
	case n < 75:
		words = append(words, "snapshot")
	default:
		role := pick(g, g.roles()...)
		if strings.HasPrefix(role, "bin") && g.maybe(70) {
			role = prefixOf(role)
		}
		words = append(words, role)
	}
	g.do("roll", words...)
}

// settle has time pass, or clients look.
func (g *generator) settle() {
	g.maybe(20, func() { g.do("advance", pick(g, "1s", "1m", "1h")) })
	g.maybe(20, func() { g.do("client", fmt.Sprintf("c%d", len(g.history.Steps))) })
}

// rotate replaces keys of top-level roles, and the operator pins the root nearly always.
func (g *generator) rotate(roles ...string) {
	for _, role := range roles {
		for _, name := range g.keys(role) {
			if !slices.Contains(g.old[role], name) {
				g.old[role] = append(g.old[role], name)
			}
		}
	}
	verb, words := "rotate", roles
	if g.maybe(5) {
		verb, words = "switch", append([]string{pick(g, "on", "off")}, roles...)
	}
	g.do(verb, words...)
	g.maybe(85, g.pin)
}

func (g *generator) pin() { g.do("pin", fmt.Sprint(g.world.root)) }

// top returns some top-level roles.
func (g *generator) top() []string {
	all := []string{"targets", "snapshot", "timestamp"}
	g.Shuffle(3, func(i, k int) { all[i], all[k] = all[k], all[i] })
	return all[:1+g.IntN(3)]
}

// planned replaces a key with an overlap.
func (g *generator) planned() {
	role := pick(g, "targets", "snapshot", "timestamp", "root")
	old := g.keys(role)[0]
	if !g.do("rotate", role, "+1") {
		return
	}
	g.pin()
	g.rollBy("main")
	g.do("roll", "@main")
	if g.do("rotate", role, "-"+old) {
		g.old[role] = append(g.old[role], old)
	}
	g.maybe(85, g.pin)
}

// revoke replaces keys at once: of top-level roles, or of a delegated one by its declarer.
func (g *generator) revoke() {
	role := g.delegated()
	if strings.HasPrefix(role, "bin-") {
		role = "bin"
	}
	if role == "" || strings.HasPrefix(role, "bins") || g.maybe(60) {
		if g.maybe(10) {
			g.do("rotate", pick(g, "targets", "snapshot", "timestamp"), "+1", "threshold=2")
			g.maybe(85, g.pin)
			return
		}
		roles := g.top()
		g.rotate(roles...)
		if slices.Contains(roles, "targets") {
			g.maybe(50, func() { g.do("upload", "targets", "next") })
		}
		return
	}
	declarer := g.declarer(role)
	if role == "bin" {
		declarer = g.declarer("bin-0")
	}
	old := g.keys(role)
	if declarer != "" && g.say(declarer, "rekey="+role) {
		g.old[role] = append(g.old[role], old...)
	}
	g.maybe(50, func() { g.do("upload", role, "next") })
}

// scene plays a scene: an attack, or what honest parties do.
func (g *generator) scene() {
	scenes := []func(){
		g.theft, g.theft, g.theft, g.theft, g.takeBack, g.takeBack, g.withheldRoot, g.lending, g.exchange, g.exchange,
		g.trouble, g.words, g.layouts, g.crash, g.uploads, g.planned, g.otherTool, g.fastForward, g.missing, g.envelope,
		g.twoProcesses,
	}
	pick(g, scenes...)()
	g.settle()
}

// signers returns keys that an attacker has: replaced ones of a role if there are any, else present
// ones sometimes.
func (g *generator) signers(role string) string {
	if old := g.old[role]; len(old) > 0 {
		n := max(1, min(len(old), g.world.options.Threshold[role]))
		return strings.Join(old[:n], ",")
	}
	if g.maybe(15) {
		if keys := g.keys(role); len(keys) > 0 {
			return strings.Join(keys, ",")
		}
	}
	return "mallory#1"
}

// tamper has an attacker with replaced keys change what is published.
func (g *generator) tamper() {
	role := pick(g, g.roles()...)
	if old := slices.Sorted(maps.Keys(g.old)); len(old) > 0 && g.maybe(80) {
		role = pick(g, old...)
	}
	by := "by=" + g.signers(role)
	switch role {
	case "timestamp":
		words := []string{"timestamp", by}
		g.maybe(60, func() { words = append(words, "version="+pick(g, "50", "500", "9007199254740991")) })
		g.maybe(40, func() { words = append(words, fmt.Sprintf("list=snapshot:%d", 1+g.IntN(4))) })
		g.do("thief", words...)
	case "snapshot":
		file := pick(g, "snapshot", "snapshot+1")
		words := []string{file, "from=snapshot", by}
		listed := pick(g, g.roles()...)
		words = append(words, pick(g, "list="+listed+":1", "unlist="+listed, "list="+listed+":2", "list=evil:1"))
		if file == "snapshot+1" {
			words = append(words, fmt.Sprintf("version=%d", g.world.versions()["snapshot"]+1))
		}
		g.do("thief", words...)
	case "root":
		g.do("thief", fmt.Sprintf("%d.root.json", g.world.root+1), fmt.Sprintf("from=%d.root.json", g.world.root),
			fmt.Sprintf("version=%d", g.world.root+1), "timestamp", "+mallory#1", by)
	default:
		g.evil(role, by)
	}
}

// evil has an attacker write a targets document of a role.
func (g *generator) evil(role, by string) {
	version := g.world.versions()[role]
	words := []string{role, by}
	if g.maybe(50) {
		words = []string{role + "+1", "from=" + role, fmt.Sprintf("version=%d", version+1), by}
	}
	change := "evil=malware"
	if d := g.world.judge.said[role]; len(d) > 0 && len(d[len(d)-1].delegations) > 0 && g.maybe(50) {
		if n := d[len(d)-1].delegations[0]; n.bits == 0 {
			key := "mallory#1"
			if by == "by=mallory#1" || g.maybe(30) {
				key = pick(g, g.keys(pick(g, "snapshot", "timestamp", "targets"))...)
			}
			change = "rekey=" + n.name + ":" + key
			if g.do("thief", append(words, change)...) && key == "mallory#1" {
				g.maybe(70, func() {
					v := g.world.versions()[n.name]
					g.do("thief", n.name+"+1", "from="+n.name, fmt.Sprintf("version=%d", v+1), "by=mallory#1", "evil=malware")
				})
			}
			return
		}
	}
	g.do("thief", append(words, change)...)
}

// theft: keys are stolen, revoked, and the attacker goes on with them.
func (g *generator) theft() {
	g.maybe(25, func() { g.save() })
	g.maybe(15, g.tamper) // before anybody knows
	g.revoke()
	for range g.IntN(4) {
		g.roll()
	}
	if g.maybe(30) {
		g.save()
	}
	for range 1 + g.IntN(2) {
		g.tamper()
	}
	g.maybe(25, g.takeBack)
	g.rollBy(g.fresh())
	g.maybe(50, g.roll)
	g.maybe(30, func() { g.mend(); g.roll(); g.roll() })
}

// mend has honest parties restore what was tampered with, as far as one save does.
func (g *generator) mend() {
	if len(g.saves) > 0 {
		g.do("putback", g.saves[len(g.saves)-1])
	}
}

func (g *generator) save() {
	name := fmt.Sprintf("s%d", len(g.saves)+1)
	if g.do("save", name) {
		g.saves = append(g.saves, name)
	}
}

// takeBack: an attacker puts back a whole state, or single files.
func (g *generator) takeBack() {
	if len(g.saves) == 0 {
		g.save()
		g.maybe(40, g.revoke)
		g.maybe(30, func() {
			role := pick(g, g.roles()...)
			g.do("upload", role, "next", "target="+g.path(role))
		})
		g.roll()
		g.maybe(60, g.roll)
	}
	from := pick(g, g.saves...)
	if g.maybe(40) {
		g.do("putback", from)
	} else {
		for range 1 + g.IntN(2) {
			role := pick(g, append([]string{"timestamp", "timestamp", "snapshot"}, g.roles()...)...)
			if g.world.repo.Consistent() && role != "timestamp" {
				// an earlier document under the present number
				g.do("thief", role, "from="+strings.TrimPrefix(g.world.repo.File(role, 1), g.world.repo.App+"/"))
				continue
			}
			g.do("putback", from, role)
		}
	}
	g.rollBy(g.fresh())
	g.maybe(50, g.roll)
}

// withheldRoot: an attacker withholds a root that revokes a key, uses the key, and returns it.
func (g *generator) withheldRoot() {
	roles := g.top()
	g.rotate(roles...)
	g.maybe(40, g.roll)
	name := fmt.Sprintf("%d.root.json", g.world.root)
	if !g.do("withhold", name) {
		return
	}
	g.tamper()
	g.rollBy(g.fresh())
	g.maybe(30, g.roll)
	g.do("return", name)
	g.maybe(40, g.pin)
	g.rollBy(g.fresh())
	g.roll()
}

// lending: the holders of a delegated role declare other keys for a role below.
func (g *generator) lending() {
	declarer := g.delegated()
	said := g.world.judge.said[declarer]
	if declarer == "" || len(said) == 0 {
		return
	}
	role := "evil"
	change := "delegate=evil:*:"
	if d := said[len(said)-1].delegations; len(d) > 0 && g.maybe(70) {
		role, change = d[0].name, "rekey="+d[0].name+":"
	}
	key := pick(g, g.keys(pick(g, "snapshot", "timestamp", "targets"))...)
	if g.maybe(30) {
		before := g.world.made["targets"]
		g.do("lay", "targets")
		key = fmt.Sprintf("targets#%d", before+1)
	}
	g.do("upload", role, "next", "target="+g.path(role))
	g.maybe(50, g.roll)
	g.do("upload", declarer, "next", change+key)
	g.maybe(50, func() { g.do("upload", role, "next", "by="+key) })
	for range 2 {
		g.do("roll", "@"+g.anyProcess())
	}
	g.do("roll", "@"+g.anyProcess(), role)
}

// exchange: an attacker puts one role's document in another's place.
func (g *generator) exchange() {
	roles := g.roles()
	if len(roles) < 2 {
		g.theft()
		return
	}
	g.maybe(60, func() {
		role := pick(g, roles...)
		g.do("upload", role, "next", "target="+g.path(role))
	})
	g.maybe(70, g.roll)
	g.Shuffle(len(roles), func(i, k int) { roles[i], roles[k] = roles[k], roles[i] })
	for _, from := range roles {
		for _, to := range roles {
			v := g.world.versions()
			if from == to || g.maybe(30) {
				continue
			}
			switch v[from] {
			case v[to] + 1:
				g.do("thief", to+"+1", "from="+from)
			case v[to]:
				g.do("thief", to, "from="+from)
			default:
				continue
			}
			g.rollBy(g.fresh())
			g.do("roll", "@"+g.anyProcess(), pick(g, to, prefixOf(to)))
			return
		}
	}
}

// trouble: holders declare what makes no sense, or a role that stays without a document.
func (g *generator) trouble() {
	role := pick(g, g.roles()...)
	key := pick(g, g.keys("snapshot")...)
	name := pick(g, "2.root", "3.targets", "2.snapshot", "snapshot.json/x", "new")
	changes := []string{"delegate=" + name + ":x/*:" + key, "set=x:9007199254740993", "delegate=new:x/*",
		`set=delegations/roles/0/path_hash_prefixes:["0"]`, "expires=-1h"}
	if d := g.world.judge.said[role]; len(d) > 0 && len(d[len(d)-1].delegations) > 0 {
		below := d[len(d)-1].delegations[0].name
		changes = append(changes, "threshold="+below+":5", "undelegate="+below)
	}
	g.do("upload", role, "next", pick(g, changes...))
	g.roll()
	g.maybe(50, g.roll)
	g.maybe(50, g.revoke)
}

// words: a declarer replaces keys, and the operator names the document that is to be believed.
func (g *generator) words() {
	role := g.delegated()
	if role == "" {
		g.planned()
		return
	}
	name := role
	if strings.HasPrefix(role, "bin-") {
		name = "bin"
	}
	g.roll()
	g.do("roll", "@main", name)
	old := g.keys(name)
	if declarer := g.declarer(role); declarer == "" || !g.say(declarer, "rekey="+name) {
		return
	}
	g.old[name] = append(g.old[name], old...)
	g.maybe(30, g.tamper)
	g.do("roll", "@main")
	version := g.world.versions()[role]
	if p := g.world.judge.listed[role][version]; p != nil && name == role {
		g.do("settings", "@main", "believe="+role+":"+p.sha)
	} else if name == "bin" {
		g.do("settings", "@main", "hashbins", "believe=bin:until=1d")
	}
	g.maybe(40, g.tamper)
	g.do("roll", "@main", name)
	g.roll()
}

// layouts: root switches, with copies under both names or without.
func (g *generator) layouts() {
	on := "on"
	if g.world.repo.Consistent() {
		on = "off"
	}
	if g.maybe(50) {
		g.do("settings", "@main", "bothlayouts")
		g.do("roll", "@main")
	}
	words := []string{on}
	if g.maybe(20) {
		words = append(words, g.top()...)
		for _, role := range words[1:] {
			g.old[role] = append(g.old[role], g.keys(role)...)
		}
	}
	g.do("switch", words...)
	g.maybe(85, g.pin)
	g.maybe(30, g.tamper)
	g.maybe(20, func() { g.do("fail", fmt.Sprintf("store-writes=%d", g.IntN(6))); g.roll(); g.do("fail", "nothing") })
	g.roll()
	g.maybe(50, g.roll)
}

// crash: a process ends in the middle of its writes.
func (g *generator) crash() {
	if g.do("fail", fmt.Sprintf("store-writes=%d", g.IntN(5))) {
		g.rollBy("main")
		g.do("fail", "nothing")
	}
	g.maybe(50, g.tamper)
	g.maybe(50, func() { g.start("main") })
	g.roll()
	g.roll()
}

// uploads: holders sign and upload.
func (g *generator) uploads() {
	for range 1 + g.IntN(3) {
		role := pick(g, g.roles()...)
		words := []string{role, "next"}
		g.maybe(60, func() { words = append(words, "target="+g.path(role)) })
		g.do("upload", words...)
		g.maybe(60, g.roll)
	}
	g.roll()
}

// otherTool: another tool publishes between rolls.
func (g *generator) otherTool() {
	g.maybe(50, g.roll)
	var words []string
	for _, role := range g.roles() {
		if !strings.HasPrefix(role, "bin") && g.maybe(40) {
			words = append(words, role)
		}
	}
	g.do("publish", append(words, "target=other.txt")...)
	g.maybe(30, g.tamper)
	g.roll()
	g.roll()
}

// fastForward: an attacker uses present keys for a number that leaves no room. They are replaced.
func (g *generator) fastForward() {
	version := pick(g, "9007199254740991", "9007199254740990", "1000")
	by := "by=" + strings.Join(g.keys("timestamp"), ",")
	if g.maybe(50) {
		g.do("thief", "timestamp", "version="+version, by)
		g.settle()
		g.rotate("timestamp")
	} else {
		name := "snapshot.json"
		if g.world.repo.Consistent() {
			name = version + ".snapshot.json"
		}
		g.do("thief", name, "from=snapshot", "version="+version, "by="+strings.Join(g.keys("snapshot"), ","))
		g.do("thief", "timestamp", "version="+fmt.Sprint(g.world.versions()["timestamp"]+1), "list=snapshot:"+version, by)
		g.settle()
		g.rotate("snapshot", "timestamp")
	}
	g.roll()
	g.roll()
}

// missing: files go, and a snapshot has to be made from what is left.
func (g *generator) missing() {
	g.roll()
	g.maybe(50, g.roll)
	g.maybe(60, func() { g.rotate("snapshot") })
	for range 1 + g.IntN(2) {
		g.do("withhold", pick(g, append([]string{"snapshot"}, g.roles()...)...))
	}
	g.maybe(50, g.tamper)
	g.roll()
	for _, name := range slices.Sorted(maps.Keys(g.world.withheld)) {
		g.maybe(70, func() { g.do("return", name) })
	}
	g.roll()
}

// envelope: an attacker changes what is not signed.
func (g *generator) envelope() {
	how := pick(g, "member", "blanks", "case", "duplicate")
	g.do("thief", pick(g, "timestamp", "snapshot", "targets"), "spoil="+how)
	g.roll()
	g.roll()
}

// twoProcesses: processes work in turns, some of which lack new keys.
func (g *generator) twoProcesses() {
	other := g.fresh()
	for range 2 + g.IntN(3) {
		g.rollBy(pick(g, "main", other))
		g.maybe(30, g.revoke)
		g.maybe(20, g.tamper)
	}
}
