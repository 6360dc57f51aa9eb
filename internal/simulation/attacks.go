package simulation

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// switchLayout is the verb switch: root's holders sign a root with another layout. Words of rotate
// change keys too.
func (w *World) switchLayout(words *words) string {
	on := words.flag("on")
	if !on && !words.flag("off") {
		panic(mistake("switch on or off"))
	}
	w.repo.Switch(on)
	alone := len(words.left) == 0
	words.left = append(words.left, fmt.Sprintf("set=consistent_snapshot:%v", on))
	if w.judge != nil && alone {
		w.judge.changesLayout(func() { w.rotate(words) })
		return ""
	}
	return w.rotate(words)
}

// withhold is the verb withhold: an attacker takes files out of the store.
func (w *World) withhold(words *words) string {
	for _, name := range words.plain() {
		name = w.named(name)
		data := w.read(name)
		if data == nil {
			panic(mistake("no file " + name))
		}
		w.withheld[name] = data
		delete(w.store.written, w.file(name)) // a process cannot know that the number was used
		w.rewind()
		if err := w.store.Delete(w.t.Context(), w.file(name)); err != nil {
			panic(err)
		}
	}
	return ""
}

// giveBack is the verb return: an attacker returns files that were withheld.
func (w *World) giveBack(words *words) string {
	for _, name := range words.plain() {
		name = w.named(name)
		if w.withheld[name] == nil {
			panic(mistake(name + " is not withheld"))
		}
		w.overwrite(name, w.withheld[name])
		delete(w.withheld, name)
	}
	return ""
}

// lay is the verb lay: the operator lays a new key ready in the provider, for the next root.
func (w *World) lay(words *words) string {
	for _, role := range words.plain() {
		k := w.newKey(role)
		w.laid = append(w.laid, k)
		for _, p := range w.processes {
			p.provider.Kept = append(p.provider.Kept, k)
		}
	}
	return ""
}

// publish is the verb publish: another tool that has all keys publishes a release. Its roles are
// those of targets documents that change, as changes are given; without roles it changes none. It
// publishes only over what verifies.
func (w *World) publish(words *words) string {
	w.mustVerify()
	return w.release(words)
}

// release has another tool publish.
func (w *World) release(words *words) string {
	snapshot := w.draftOf(metadata.SNAPSHOT, w.read(w.named(metadata.SNAPSHOT)))
	timestamp := w.draftOf(metadata.TIMESTAMP, w.read("timestamp.json"))
	hashes := w.options.Hashes
	for _, role := range words.plain() {
		version := w.versionFor(role, "next")
		d := w.lastOf(role, version)
		d.signed["version"] = toNumber(version)
		d.change(words)
		name := w.put(d, role, version)
		if w.judge != nil {
			w.judge.says(role, name, w.read(name))
		}
		snapshot.object("meta")[role+".json"] = w.metaOf(version, name, hashes)
	}
	words.left = nil
	version := w.versionFor(metadata.SNAPSHOT, "next")
	snapshot.signed["version"], snapshot.signed["expires"] = toNumber(version), at(10*24*time.Hour)
	name := w.put(snapshot, metadata.SNAPSHOT, version)
	timestamp.object("meta")["snapshot.json"] = w.metaOf(version, name, hashes)
	version = w.versions()[metadata.TIMESTAMP] + 1
	timestamp.signed["version"], timestamp.signed["expires"] = toNumber(version), at(10*24*time.Hour)
	w.put(timestamp, metadata.TIMESTAMP, version)
	if w.judge != nil {
		w.judge.release()
		w.judge.both = false
	}
	return ""
}

// put signs a draft by its role's keys and writes it. It returns the file's name.
func (w *World) put(d *draft, role string, version int64) string {
	name := strings.TrimPrefix(w.repo.File(role, version), w.repo.App+"/")
	floor := w.floor
	w.overwrite(name, d.sign(&words{}, w.repo.Keys[role]))
	w.floor = floor
	return name
}

// metaOf returns how another tool lists a file.
func (w *World) metaOf(version int64, name string, hashes bool) object {
	data := w.read(name)
	o := object{"version": toNumber(version)}
	if hashes {
		info, err := metadata.TargetFile().FromBytes(name, data, "sha256")
		if err != nil {
			panic(err)
		}
		listed := toObject(info)
		o["length"], o["hashes"] = listed["length"], listed["hashes"]
	}
	return o
}

// mustVerify panics with a mistake unless a new client follows what is published, and each file is
// one that an honest party wrote.
func (w *World) mustVerify() {
	if w.judge == nil {
		return
	}
	s := w.judge.look(w.judge.newFollower(brandNew))
	if s.err != nil || len(s.failed) > 0 {
		panic(mistake("what is published does not verify"))
	}
	for role, p := range s.papers {
		if isTop(role) && role != "targets" {
			continue
		}
		if !slices.ContainsFunc(w.judge.said[role], func(said *paper) bool { return said.content == p.content }) {
			panic(mistake("what is published is an attacker's"))
		}
	}
	for i, root := range w.judge.roots {
		if i > 0 && !bytes.Equal(w.read(fmt.Sprintf("%d.root.json", i+1)), root.data) {
			panic(mistake("a root is not there"))
		}
	}
}
