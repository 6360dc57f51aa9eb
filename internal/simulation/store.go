package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tufonline/tufonline/storage"
)

// watched is the store as processes have it: the judge sees what they write, and faults go with it.
// Steps that are no process's write to the Memory in it.
type watched struct {
	*storage.Memory
	world *World

	mu         sync.Mutex
	written    map[string]string // what processes have written under versioned names, by key
	fromHere   int               // writes since the last judge
	complaints []string
	writes     []written // by processes, since the judge last took them
}

// A written is a file that a process wrote.
type written struct {
	name string
	data []byte
}

func newWatched(w *World) *watched {
	return &watched{Memory: storage.NewMemory(storage.MemoryOptions{}), world: w, written: map[string]string{}}
}

// errFault is how a store and a key provider fail where a history says so.
var errFault = errors.New("fault")

// versioned is what the name of a file looks like that carries a version.
var versioned = regexp.MustCompile(`^\d+\.`)

// isVersioned reports whether the name of a file, by its key in the store, carries a version.
func (w *World) isVersioned(key string) bool {
	return versioned.MatchString(strings.TrimPrefix(key, w.repo.App+"/"))
}

// latency is the time of a call, which it takes after its work. So all calls of one moment are done
// before the first of them is answered, and a history ends the same each time.
const latency = time.Millisecond

func (s *watched) Get(ctx context.Context, key string) (storage.Object, error) {
	defer time.Sleep(latency)
	if large := s.world.failing().large; large != "" && strings.HasSuffix(key, "/"+large) {
		return storage.Object{}, fmt.Errorf("%s: %w", key, storage.ErrTooLarge)
	}
	return s.Memory.Get(ctx, key)
}

func (s *watched) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	defer time.Sleep(latency)
	if err := s.fault(key); err != nil {
		return "", err
	}
	version, err := s.Memory.Create(ctx, key, data)
	s.wrote(key, data, err, true)
	return version, err
}

func (s *watched) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	defer time.Sleep(latency)
	if err := s.fault(key); err != nil {
		return "", err
	}
	version, err := s.Memory.Replace(ctx, key, old, data)
	s.wrote(key, data, err, false)
	return version, err
}

// fault returns an error if a write of a key is to fail.
func (s *watched) fault(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fails := &s.world.fails
	if fails.write != "" && strings.Contains(key, fails.write) {
		return errFault
	}
	if fails.writes != nil {
		if *fails.writes <= 0 {
			return errFault
		}
		*fails.writes--
	}
	return nil
}

// wrote judges a write of a process.
func (s *watched) wrote(key string, data []byte, err error, create bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world.isVersioned(key) != create {
		s.complaints = append(s.complaints, fmt.Sprintf("%s: written by the wrong verb", key))
	}
	if err != nil {
		return
	}
	s.fromHere++
	if s.world.judge != nil {
		s.writes = append(s.writes, written{strings.TrimPrefix(key, s.world.repo.App+"/"), bytes.Clone(data)})
	}
	if !create {
		return
	}
	if before, ok := s.written[key]; ok && before != string(data) {
		s.complaints = append(s.complaints, fmt.Sprintf("%s: written twice, with two contents", key))
	}
	s.written[key] = string(data)
}

// takeWrites returns what processes wrote since it was last asked.
func (s *watched) takeWrites() []written {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := s.writes
	s.writes = nil
	return writes
}

// judge passes complaints on, and returns how many writes processes have made since it was last
// asked.
func (s *watched) judge() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.complaints {
		s.world.complain("%s", c)
	}
	n := s.fromHere
	s.complaints, s.fromHere = nil, 0
	return n
}

// failures are what the verb fail has set.
type failures struct {
	writes                     *int   // after which writes fail
	write, large, keys, noKeys string // parts of names, and roles
	settings                   bool
	validity                   string
}

// fail is the verb fail.
func (w *World) fail(words *words) string {
	var f failures
	if n, ok := words.option("store-writes"); ok {
		writes := number(n)
		f.writes = &writes
	}
	f.write, _ = words.option("store-write")
	f.large, _ = words.option("large")
	f.keys, _ = words.option("keys")
	f.noKeys, _ = words.option("nokeys")
	f.validity, _ = words.option("validity")
	f.settings = words.flag("settings")
	words.flag("nothing")
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.fails = f
	return ""
}

// failing returns what fails now.
func (w *World) failing() failures {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.fails
}

// none reports whether nothing fails.
func (f failures) none() bool { return f == failures{} }

// write is the verb write.
func (w *World) write(words *words) string {
	names := words.plain()
	if len(names) != 2 {
		panic(mistake("write has a file and its text"))
	}
	w.overwrite(w.named(names[0]), []byte(names[1]))
	return ""
}

// remove is the verb delete.
func (w *World) remove(words *words) string {
	for _, name := range words.plain() {
		if err := w.store.Delete(w.t.Context(), w.file(w.named(name))); err != nil {
			panic(err)
		}
	}
	return ""
}

// save is the verb save.
func (w *World) save(words *words) string {
	w.saved[words.first()] = w.files()
	return ""
}

// putBack is the verb putback.
func (w *World) putBack(words *words) string {
	state := w.state(words.first())
	w.rewind()
	w.wentBack = true
	w.store.written = map[string]string{} // a new process cannot know what is gone
	if names := words.plain(); len(names) > 0 {
		for _, name := range names {
			name = w.named(name)
			w.overwrite(name, w.stored(state, name))
		}
		return ""
	}
	for name := range w.files() {
		if err := w.store.Delete(w.t.Context(), name); err != nil {
			panic(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(state)) {
		if _, err := w.store.Memory.Create(w.t.Context(), name, state[name]); err != nil {
			panic(err)
		}
	}
	return ""
}

// stored returns a file of a state.
func (w *World) stored(state map[string][]byte, name string) []byte {
	data, ok := state[w.file(name)]
	if !ok {
		panic(mistake("no file " + name))
	}
	return data
}

// state returns what the verb save has remembered.
func (w *World) state(name string) map[string][]byte {
	state, ok := w.saved[name]
	if !ok {
		panic(mistake("no state " + name))
	}
	return state
}
