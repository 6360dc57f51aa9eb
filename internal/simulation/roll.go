package simulation

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tufonline/tufonline/tasks"
)

// roll is the verb roll.
func (w *World) roll(words *words) string {
	name := words.process()
	app, ok := words.option("app")
	if !ok {
		app = w.repo.App
	}
	p := w.process(name)
	if !w.swift {
		_ = w.keep("last") // if it cannot follow now, the one from before stays
	}
	before, versions := w.files(), w.versions()
	p.take()
	w.store.judge()
	var judging *rolling
	if w.judge != nil {
		judging = w.judge.before(p)
	}
	result, err := p.updater.Roll(w.t.Context(), app, words.plain())
	signed, writes := p.take(), w.store.judge()
	w.judgeFiles(before)
	w.judgeSignatures(signed)
	if judging != nil {
		judging.judgeAll(signed, err)
	}
	if err != nil {
		w.judgeRefusal(p, err, before, len(signed)+writes)
		p.fresh = p.fresh && w.fails.none()
		return w.symbol(err)
	}
	p.fresh = false
	outcome := w.published(versions, signed)
	w.judgeResult(result, signed)
	outcome = append(outcome, w.warnings(result.Warnings)...)
	if !w.swift {
		outcome = append(outcome, w.judgeClients(result)...)
	}
	return strings.Join(outcome, "; ")
}

// judgeRefusal complains of a roll that has failed, without a fault to blame, and left something
// behind. A process that remembers what was there may have signed and written files before it found
// that this was out of date.
func (w *World) judgeRefusal(p *process, err error, before map[string][]byte, done int) {
	if !w.fails.none() {
		return
	}
	if (p.fresh || p.forgets) && done > 0 {
		w.complain("a roll was refused after %d signatures and writes: %v", done, err)
	}
	if !bytes.Equal(before[w.file("timestamp.json")], w.read("timestamp.json")) {
		w.complain("a roll was refused, and has changed the timestamp: %v", err)
	}
}

// published tells which versions are listed that were not before, those that were signed first.
func (w *World) published(before map[string]int64, signed []signing) (outcome []string) {
	now := w.versions()
	unread := before["targets"] == 0 // what was published could not be read
	var roles, uploads []string
	for _, role := range order(now) {
		isSigned := slices.ContainsFunc(signed, func(s signing) bool {
			return sameKeys(s.role, role) && s.version == now[role]
		})
		switch {
		case isSigned && (unread || now[role] > before[role]):
			roles = append(roles, role)
		case !unread && now[role] > before[role]:
			uploads = append(uploads, role)
		}
	}
	if len(roles) > 0 {
		outcome = append(outcome, "published "+listing(roles, now))
	}
	if len(uploads) > 0 {
		outcome = append(outcome, "lists "+listing(uploads, now))
	}
	return outcome
}

// sameKeys reports whether two roles are one, or bins of one delegation. Of those the provider is
// asked for one, or for their prefix.
func sameKeys(a, b string) bool {
	prefix := func(role string) string {
		if i := strings.LastIndexByte(role, '-'); i > 0 {
			return role[:i]
		}
		return role
	}
	return a == b || prefix(a) == prefix(b)
}

// judgeResult complains if a result names other versions than are listed, or in another order than
// they are published in, or if a key signed for a role that is not listed.
func (w *World) judgeResult(result tasks.Result, signed []signing) {
	now := w.versions()
	for role, version := range result.Versions {
		if now[role] != version {
			w.complain("%s %d was published, and %d is listed", role, version, now[role])
		}
	}
	if n := len(result.Roles); n == 0 || result.Roles[n-1] != "timestamp" || n > 1 && result.Roles[n-2] != "snapshot" {
		w.complain("published in the order %v", result.Roles)
	}
	for _, s := range signed {
		if !slices.ContainsFunc(order(now), func(role string) bool { return sameKeys(role, s.role) }) {
			w.complain("key %s signed for role %s, which is not listed", w.names[s.keyID], s.role)
		}
	}
}

// judgeFiles complains if a file that was there is not as it was, but for those that carry no
// version in their name.
func (w *World) judgeFiles(before map[string][]byte) {
	after := w.files()
	for name, data := range before {
		if w.isVersioned(name) && !bytes.Equal(after[name], data) {
			w.complain("%s has changed", name)
		}
	}
}

// judgeClients has clients refresh after a roll and returns what became of those that cannot. Those
// that can have to see what was published.
func (w *World) judgeClients(result tasks.Result) (rejections []string) {
	for _, c := range w.all() {
		seen, err := c.look()
		if err != nil {
			rejections = append(rejections, c.name+" rejects")
			continue
		}
		for role, version := range result.Versions {
			if seen[role] != version && !c.ahead {
				w.complain("client %s sees %s %d where %d was published", c.name, role, seen[role], version)
			}
		}
		w.judgeVersions(c, seen)
	}
	return rejections
}

// listing returns roles with their versions. Many bins of one version are one entry.
func listing(roles []string, versions map[string]int64) string {
	type entry struct {
		name    string
		version int64
		n       int
	}
	var entries []entry
	for _, role := range roles {
		name := role
		if i := strings.LastIndexByte(role, '-'); i > 0 {
			name = role[:i] + "-*"
		}
		if i := len(entries) - 1; i >= 0 && name != role && entries[i] == (entry{name, versions[role], entries[i].n}) {
			entries[i].n++
			continue
		}
		entries = append(entries, entry{name, versions[role], 1})
	}
	var texts []string
	at := 0
	for _, e := range entries {
		name := e.name
		if e.n == 1 {
			name = roles[at]
		} else {
			name = fmt.Sprintf("%s (%d)", name, e.n)
		}
		at += e.n
		texts = append(texts, fmt.Sprintf("%s %d", name, e.version))
	}
	return strings.Join(texts, ", ")
}

var versionIn = regexp.MustCompile(`version (\d+)`)

// warnings returns what warnings are about: a role and a version.
func (w *World) warnings(texts []string) (all []string) {
	for _, text := range texts {
		about := cmp.Or(w.mentioned(text), "of no role")
		if match := versionIn.FindStringSubmatch(text); match != nil {
			about += " " + match[1]
		}
		if warning := "warns " + about; !slices.Contains(all, warning) {
			all = append(all, warning)
		}
	}
	return all
}

// ask is the verb ask.
func (w *World) ask(words *words) string {
	p := w.process(words.process())
	app, ok := words.option("app")
	if !ok {
		app = w.repo.App
	}
	before := w.files()
	task, err := p.updater.ForceOnline(w.t.Context(), app, words.plain())
	if signed := p.take(); len(signed) > 0 && p.stop == nil {
		w.complain("a request led to %d signatures", len(signed))
	}
	w.store.judge()
	if !maps.EqualFunc(before, w.files(), bytes.Equal) {
		w.complain("a request has changed the store")
	}
	if err != nil {
		return w.symbol(err)
	}
	return "accepted " + strings.Join(task.Roles, ", ")
}
