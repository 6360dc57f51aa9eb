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
	_ = w.keep("last") // if it cannot follow now, the one from before stays
	before := w.files()
	p.take()
	w.store.judge()
	result, err := p.updater.Roll(w.t.Context(), app, words.plain())
	signed, writes := p.take(), w.store.judge()
	w.judgeFiles(before)
	if err != nil {
		w.judgeSignatures(signed, nil)
		if w.fails.none() && (p.fresh || p.forgets) && len(signed)+writes > 0 {
			w.complain("a roll was refused after %d signatures and %d writes: %v", len(signed), writes, err)
		}
		if w.fails.none() && !bytes.Equal(before[w.file("timestamp.json")], w.read("timestamp.json")) {
			w.complain("a roll was refused, and has changed the timestamp: %v", err)
		}
		p.fresh = p.fresh && w.fails.none()
		return w.symbol(err)
	}
	p.fresh = false
	w.judgeSignatures(signed, result.Versions)
	outcome := []string{"published " + listing(result.Roles, result.Versions)}
	outcome = append(outcome, w.warnings(result.Warnings)...)
	outcome = append(outcome, w.judgeClients(result)...)
	return strings.Join(outcome, "; ")
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
			rejections = append(rejections, fmt.Sprintf("%s rejects %s", c.name, clientError(err)))
			continue
		}
		for role, version := range result.Versions {
			if seen[role] != version {
				w.complain("client %s sees %s %d where %d was published", c.name, role, seen[role], version)
			}
		}
		w.judgeVersions(c.name, seen)
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
