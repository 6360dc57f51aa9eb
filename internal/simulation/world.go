package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
)

// A World is what the steps of a history change: a repository in a store, processes, and clients.
// It belongs to a bubble of testing/synctest.
type World struct {
	t       testing.TB
	store   *watched
	options testrepo.Options
	offline []string
	repo    *testrepo.Repo
	others  map[string]*testrepo.Repo // "stranger" and "sibling", made when they are mentioned
	pinned  []byte
	root    int64 // the version of the newest root that its holders have signed

	names map[string]string // of keys, by ID
	keys  map[string]*testrepo.Key
	made  map[string]int // keys, by role

	processes map[string]*process
	tasks     map[string]*tasks.Memory // that processes share
	fails     failures
	saved     map[string]map[string][]byte
	clients   []*client
	floor     map[string]int64 // versions that clients have seen, by role

	complaints []string
	judge      *judge // nil: only the rules of all histories are judged
	swift      bool   // clients are the judge's

	signedRoots [][]byte                   // by root's holders, in order
	memories    map[string]*storage.Memory // durable memories of processes, by name
	laid        []*testrepo.Key            // ready in the key provider, for the next root
	absent      map[string]bool            // IDs of keys that the operator does not hold
	withheld    map[string][]byte          // files that an attacker withholds, by name
	wentBack    bool                       // the store was put back, or files of it
}

// New returns a world in which nothing is yet. Its first step is repo.
func New(t testing.TB) *World {
	w := &World{
		t: t, others: map[string]*testrepo.Repo{}, names: map[string]string{}, keys: map[string]*testrepo.Key{},
		made: map[string]int{}, processes: map[string]*process{}, tasks: map[string]*tasks.Memory{},
		saved: map[string]map[string][]byte{},
		floor: map[string]int64{}, memories: map[string]*storage.Memory{}, absent: map[string]bool{},
		withheld: map[string][]byte{},
	}
	w.store = newWatched(w)
	return w
}

// NewJudged returns a world in which the judge holds the rules of trust. Its clients are the
// judge's, which work in memory. Complaints of the kinds ignored are not made.
func NewJudged(t testing.TB, ignored ...string) *World {
	w := New(t)
	w.judge, w.swift = newJudge(w), true
	w.judge.ignored = ignored
	return w
}

// Judge has the judge hold the rules of trust from the next step on, which has to be repo.
func (w *World) Judge() { w.judge = newJudge(w) }

// complain notes that a rule of all histories does not hold.
func (w *World) complain(format string, args ...any) {
	w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
	if w.judge != nil {
		w.judge.complain(KindOther, format, args...)
	}
}

// Complaints returns which rules of all histories did not hold so far.
func (w *World) Complaints() []string { return w.complaints }

// Found returns what the judge has found so far.
func (w *World) Found() []Complaint {
	if w.judge == nil {
		return nil
	}
	return w.judge.found
}

// Signatures returns how many signatures the judge has seen.
func (w *World) Signatures() int { return w.judge.signatures }

// Excuses returns how often the judge has excused something, by the reason.
func (w *World) Excuses() map[string]int { return w.judge.excuses }

// Run carries out a step and returns its outcome, "" if it has none. The error says that the step
// is not written as it should.
func (w *World) Run(s Step) (outcome string, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, ok := r.(mistake)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s: %s", s, string(m))
		}
	}()
	verb, ok := map[string]func(*World, *words) string{
		"repo": (*World).build, "restart": (*World).restart, "pin": (*World).pin, "roll": (*World).roll,
		"ask": (*World).ask, "status": (*World).status, "rotate": (*World).rotate, "upload": (*World).upload,
		"thief": (*World).thief, "write": (*World).write, "delete": (*World).remove, "save": (*World).save,
		"putback": (*World).putBack, "fail": (*World).fail, "advance": (*World).advance, "client": (*World).keepClient,
		"clients": (*World).refreshClients, "expect": (*World).expect, "switch": (*World).switchLayout,
		"withhold": (*World).withhold, "return": (*World).giveBack, "forget": (*World).forget,
		"settings": (*World).changeSettings, "lay": (*World).lay, "publish": (*World).publish,
		"recover": (*World).recover,
	}[s.Verb]
	if !ok {
		return "", fmt.Errorf("%s: no such verb", s.Verb)
	}
	if w.repo == nil && s.Verb != "repo" {
		return "", fmt.Errorf("%s: before repo", s.Verb)
	}
	if w.judge != nil {
		w.judge.step = s.String()
	}
	left := &words{left: slices.Clone(s.Words)}
	outcome = verb(w, left)
	if len(left.left) > 0 {
		return "", fmt.Errorf("%s: it has no use for %q", s, left.left)
	}
	if s.Verb != "roll" && s.Verb != "advance" && s.Verb != "ask" { // those have judged their own
		w.store.judge()
	}
	w.nameKeys()
	if w.judge != nil && s.Verb != "roll" && s.Verb != "repo" && s.Verb != "recover" {
		w.judge.afterStep()
	}
	return outcome, nil
}

// End stops all processes, and waits for reads that they have given up.
func (w *World) End() {
	for _, p := range w.processes {
		p.end()
	}
	time.Sleep(time.Second)
}

// nameKeys gives names to the keys that have come.
func (w *World) nameKeys() {
	for _, role := range slices.Sorted(maps.Keys(w.repo.Keys)) {
		for _, k := range w.repo.Keys[role] {
			w.nameKey(role, k)
		}
	}
}

func (w *World) nameKey(role string, k *testrepo.Key) {
	if w.names[k.ID] != "" {
		return
	}
	w.made[role]++
	name := fmt.Sprintf("%s#%d", role, w.made[role])
	w.names[k.ID], w.keys[name] = name, k
}

// newKey makes a key of a role.
func (w *World) newKey(role string) *testrepo.Key {
	k := testrepo.NewKey(w.t, cmp.Or(w.options.Keys[role], w.options.Key, testrepo.Ed25519))
	w.nameKey(role, k)
	return k
}

// key returns a key by its name. Those of mallory are made when they are mentioned.
func (w *World) key(name string) *testrepo.Key {
	role, _, _ := strings.Cut(name, "#")
	for role == "mallory" && w.keys[name] == nil {
		w.newKey(role)
	}
	if w.keys[name] == nil {
		panic(mistake("no key " + name))
	}
	return w.keys[name]
}

func (w *World) keysNamed(names []string) (all []*testrepo.Key) {
	for _, name := range names {
		all = append(all, w.key(name))
	}
	return all
}

// other returns a repository that the history does not work on: "stranger" has the same options and
// name, "sibling" is another app. Both have rolled as often as makes their versions 2.
func (w *World) other(name string) *testrepo.Repo {
	if w.others[name] == nil {
		o := w.options
		if name == "sibling" {
			o.App = "acme/sibling"
		}
		w.others[name] = testrepo.New(w.t, storage.NewMemory(storage.MemoryOptions{}), o)
	}
	return w.others[name]
}

// file returns the key in the store of a file of the repository.
func (w *World) file(name string) string { return w.repo.App + "/" + name }

// read returns what the store holds under a file's name, nil if there is none.
func (w *World) read(name string) []byte {
	object, err := w.store.Memory.Get(w.t.Context(), w.file(name))
	if err != nil {
		return nil
	}
	return object.Data
}

// overwrite does what an attacker does who can write to the store. Clients may then see what they
// saw before.
func (w *World) overwrite(name string, data []byte) {
	if w.read(name) != nil {
		w.rewind()
	}
	w.repo.Overwrite(w.t, w.file(name), data)
}

// rewind notes that clients may see less from now on than they have seen.
func (w *World) rewind() {
	w.floor = map[string]int64{}
	for _, c := range w.clients {
		c.ahead = c.name != "setup"
	}
}

// otherName returns the name of a role's file in the layout that the repository does not have.
func (w *World) otherName(role string, version int64) string {
	if w.repo.Consistent() {
		return role + ".json"
	}
	return fmt.Sprintf("%d.%s.json", version, role)
}

// files returns all that the store holds.
func (w *World) files() map[string][]byte {
	names, err := w.store.List(w.t.Context(), "")
	if err != nil {
		panic(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		object, err := w.store.Memory.Get(w.t.Context(), name)
		if err == nil {
			all[name] = object.Data
		}
	}
	return all
}

// versions returns what is published, by the timestamp that the store holds and what that leads to,
// nothing verified.
func (w *World) versions() map[string]int64 {
	versions := map[string]int64{}
	timestamp, err := metadata.Timestamp().FromBytes(w.read("timestamp.json"))
	if err != nil {
		return versions
	}
	versions[metadata.TIMESTAMP] = timestamp.Signed.Version
	listed := timestamp.Signed.Meta["snapshot.json"].Version
	versions[metadata.SNAPSHOT] = listed
	name := strings.TrimPrefix(w.repo.File(metadata.SNAPSHOT, listed), w.repo.App+"/")
	snapshot, err := metadata.Snapshot().FromBytes(w.read(name))
	if err != nil || snapshot.Signed.Version != listed { // in the layout before
		snapshot, err = metadata.Snapshot().FromBytes(w.read(w.otherName(metadata.SNAPSHOT, listed)))
	}
	if err != nil {
		return versions
	}
	for name, info := range snapshot.Signed.Meta {
		versions[strings.TrimSuffix(name, ".json")] = info.Version
	}
	return versions
}
