package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// rotate is the verb rotate: root's holders sign the root that follows the newest one that they
// have signed. The keys of the last and of this root sign.
func (w *World) rotate(words *words) string {
	d := w.draftOf(metadata.ROOT, w.signedRoots[w.root-1])
	signers := slices.Clone(w.repo.Keys[metadata.ROOT])
	w.root++
	d.signed["version"] = toNumber(w.root)
	d.signed["expires"] = at(10 * 24 * time.Hour)
	maps.Copy(w.repo.Keys, d.rotate(words))
	for _, k := range w.repo.Keys[metadata.ROOT] {
		if !slices.Contains(signers, k) {
			signers = append(signers, k)
		}
	}
	d.change(words)
	data := d.sign(words, signers)
	w.signedRoots = append(w.signedRoots, data)
	name := fmt.Sprintf("%d.root.json", w.root)
	w.repo.Overwrite(w.t, w.file(name), data) // whatever an attacker has put there
	if w.judge != nil {
		w.judge.rootSigned(name, data)
	}
	return ""
}

// rotate changes the keys of roles in a draft of a root as words ask for it, and returns the keys
// that the roles have then. A threshold without a colon is that of the one role.
func (d *draft) rotate(words *words) map[string][]*testrepo.Key {
	roles := words.plain()
	var changes []string
	words.left = slices.DeleteFunc(words.left, func(word string) bool {
		if isKeyChange(word) {
			changes = append(changes, word)
			return true
		}
		return false
	})
	threshold := words.number("threshold")
	keys := map[string][]*testrepo.Key{}
	for _, role := range roles {
		o := d.topLevel(role)
		if len(changes) == 0 && threshold == 0 {
			keys[role] = d.fresh(role)
		} else {
			keys[role] = d.changed(role, changes)
		}
		d.give(role, keys[role])
		if threshold != 0 {
			o["threshold"] = toNumber(int64(threshold))
		}
	}
	return keys
}

// topLevel returns what a root says of a role.
func (d *draft) topLevel(name string) object {
	o, ok := d.object("roles")[name].(object)
	if !ok {
		panic(mistake("root has no role " + name))
	}
	return o
}

// fresh returns as many new keys as a role's threshold asks for.
func (d *draft) fresh(role string) (keys []*testrepo.Key) {
	threshold, _ := d.topLevel(role)["threshold"].(json.Number)
	for range number(threshold.String()) {
		keys = append(keys, d.world.newKey(role))
	}
	return keys
}

// changed returns a role's keys after changes: +1 adds a new key, +KEY that one, -KEY drops one.
func (d *draft) changed(role string, changes []string) []*testrepo.Key {
	keys := slices.Clone(d.world.repo.Keys[role])
	for _, change := range changes {
		if n, err := strconv.Atoi(change[1:]); err == nil {
			for range n {
				keys = append(keys, d.world.newKey(role))
			}
			continue
		}
		k := d.world.key(change[1:])
		if change[0] == '+' {
			keys = append(keys, k)
		} else {
			keys = slices.DeleteFunc(keys, func(other *testrepo.Key) bool { return other == k })
		}
	}
	return keys
}

// give has a root declare the keys of a role.
func (d *draft) give(role string, keys []*testrepo.Key) {
	ids := []any{}
	for _, k := range keys {
		if d.object("keys")[k.ID] == nil {
			d.object("keys")[k.ID] = toObject(k.Public)
		}
		ids = append(ids, k.ID)
	}
	d.topLevel(role)["keyids"] = ids
}

// upload is the verb upload.
func (w *World) upload(words *words) string {
	role := words.first()
	version := w.versionFor(role, words.first())
	d := w.lastOf(role, version)
	d.signed["version"] = toNumber(version)
	d.change(words)
	data := d.sign(words, w.repo.Keys[role])
	if how, ok := words.option("spoil"); ok {
		data = spoil(data, how)
	}
	name := strings.TrimPrefix(w.repo.File(role, version), w.repo.App+"/")
	if w.read(name) != nil && w.repo.Consistent() {
		panic(mistake(name + " is there already: a thief would overwrite it"))
	}
	floor := w.floor
	w.overwrite(name, data)
	w.floor = floor
	if w.judge != nil {
		w.judge.says(role, name, data)
	}
	return ""
}

// versionFor returns a version that is given, or with next the first that is free.
func (w *World) versionFor(role, text string) int64 {
	if text != "next" {
		return int64(number(text))
	}
	version := w.versions()[role] + 1
	if w.judge != nil {
		for _, p := range w.judge.said[role] {
			version = max(version, p.version+1)
		}
		if p := w.judge.last.papers[role]; p != nil {
			version = max(version, p.version+1)
		}
	}
	for w.repo.Consistent() && w.read(fmt.Sprintf("%d.%s.json", version, role)) != nil {
		version++
	}
	return version
}

// lastOf returns a draft of the last version of a targets role below one that can be read, or of
// one that says nothing.
func (w *World) lastOf(role string, version int64) *draft {
	if w.judge != nil {
		if said := w.judge.said[role]; len(said) > 0 { // holders know what they have said
			return w.draftOf(role, said[len(said)-1].data)
		}
		return w.emptyTargets(role)
	}
	for last := version - 1; last > 0; last-- {
		data := w.read(strings.TrimPrefix(w.repo.File(role, last), w.repo.App+"/"))
		if _, err := metadata.Targets().FromBytes(data); data != nil && err == nil {
			return w.draftOf(role, data)
		}
	}
	return w.emptyTargets(role)
}

// thief is the verb thief: an attacker puts a file into the store.
func (w *World) thief(words *words) string {
	name := w.named(words.first())
	source, ok := words.option("from")
	if !ok {
		source = name
	}
	data := w.source(source)
	role := roleOf(name)
	how, spoils := words.option("spoil")
	if slices.ContainsFunc(words.left, func(word string) bool { return word != "" }) {
		d := w.draftOf(role, data)
		if role == metadata.ROOT {
			d.rotate(words)
		}
		changed := d.change(words)
		by, signs := words.option("by")
		if signs {
			if w.judge != nil && by != "none" {
				w.judge.used(w.keysNamed(strings.Split(by, ",")))
			}
			words.left = append(words.left, "by="+by)
			data = d.sign(words, nil)
		} else if changed {
			d.whole["signed"] = d.signed
			data = encode(d.whole)
		}
	}
	if spoils {
		data = spoil(data, how)
	}
	w.overwrite(name, data)
	return ""
}

// source returns a file as it is, or as it was: FILE, SAVED:FILE, stranger:FILE or sibling:FILE.
func (w *World) source(text string) []byte {
	where, name, ok := strings.Cut(text, ":")
	var data []byte
	switch {
	case !ok:
		data = w.read(w.named(text))
	case where == "stranger" || where == "sibling":
		return w.other(where).Read(w.t, w.other(where).App+"/"+name)
	default:
		data = w.stored(w.state(where), name)
	}
	if data == nil {
		panic(mistake("no file " + text))
	}
	return data
}

// named returns the name of a file. For a role's name that is the published version's, or with +N
// behind it that of the Nth version after it.
func (w *World) named(text string) string {
	if strings.HasSuffix(text, ".json") || strings.Contains(text, ".json/") {
		return text
	}
	role, after := text, ""
	if i := strings.LastIndexByte(text, '+'); i >= 0 && strings.Trim(text[i+1:], "0123456789") == "" {
		role, after = text[:i], text[i+1:]
	}
	version := w.versions()[role]
	if role == metadata.ROOT {
		version = w.root
	}
	if after != "" {
		version += int64(number(after))
	}
	return strings.TrimPrefix(w.repo.File(role, version), w.repo.App+"/")
}

// roleOf returns the role that a file is of, by its name.
func roleOf(name string) string {
	role := strings.TrimSuffix(name, ".json")
	if versioned.MatchString(name) {
		_, role, _ = strings.Cut(role, ".")
	}
	return role
}
