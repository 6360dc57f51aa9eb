package simulation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/keys"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A process is an Updater with its key provider.
type process struct {
	world    *World
	updater  *tufupdate.Updater
	provider *testrepo.Provider
	fresh    bool   // it remembers nothing of the repository
	forgets  bool   // it reads everything anew
	memory   string // the name of its durable memory, if it has one
	without  map[string]bool
	settings tufupdate.Settings
	known    *knowledge // what the judge knows that it knows
	stop     func()

	mu     sync.Mutex
	asked  map[string]int // requests for keys, by role, since the last look
	signed []signing      // likewise
}

// A signing is what a key signed: for which role, and what the message is.
type signing struct {
	role    string
	keyID   string
	kind    string // _type
	version int64
	public  string // the key's public half
	message []byte
	paper   *paper // the judge's
}

// process returns a process by its name. If it has not been started, it starts with the keys that
// the repository's operator has.
func (w *World) process(name string) *process {
	if w.processes[name] == nil {
		w.start(name, &words{})
	}
	return w.processes[name]
}

// restart is the verb restart.
func (w *World) restart(words *words) string {
	w.start(words.process(), words)
	return ""
}

func (w *World) start(name string, words *words) {
	if old := w.processes[name]; old != nil {
		old.end()
	}
	p := &process{world: w, fresh: true, asked: map[string]int{}, known: newKnowledge()}
	offline := w.offline
	if roles, ok := words.option("offline"); ok {
		offline = strings.Split(roles, ",")
	}
	p.provider = w.repo.Provider(w.t, offline...)
	p.provider.Kept = append(w.keysNamed(words.list("with")), w.laid...)
	p.without = maps.Clone(w.absent)
	for _, k := range w.keysNamed(words.list("without")) {
		p.without[k.ID] = true
	}
	p.provider.Asked = p.ask
	p.provider.Signed = p.note
	c := tufupdate.Config{
		Store: w.store, Keys: p.provider, Logger: slog.New(slog.DiscardHandler),
		Roots:    func(context.Context, string) ([]byte, error) { return w.pinned, nil },
		Settings: p.currentSettings,
	}
	p.settings = w.settings(words)
	if name, ok := words.option("memory"); ok {
		if w.memories[name] == nil {
			w.memories[name] = storage.NewMemory(storage.MemoryOptions{})
		}
		p.memory, c.Memory = name, w.memories[name]
	}
	if p.forgets = words.flag("forgetful"); p.forgets {
		c.CacheSize = -1
	}
	own := tasks.NewMemory(tasks.MemoryOptions{MaxAttempts: 1}) // a history sees each failure
	c.Tasks = own
	if name, ok := words.option("tasks"); ok {
		if w.tasks[name] == nil {
			w.tasks[name] = own
		}
		c.Tasks = w.tasks[name]
	}
	if warn, ok := words.option("warn"); ok {
		c.WarnExpiry = duration(warn)
	}
	renews := words.flag("renew")
	if renews {
		c.Renew = &tufupdate.Renew{Early: share(words, "early"), Jitter: share(words, "jitter")}
		if look, ok := words.option("look"); ok {
			c.Renew.Look = duration(look)
		}
	}
	var err error
	if p.updater, err = tufupdate.New(c); err != nil {
		panic(err)
	}
	w.processes[name] = p
	if renews {
		p.run()
	}
}

func share(words *words, name string) float64 {
	text, ok := words.option(name)
	if !ok {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(mistake(err.Error()))
	}
	return f
}

// settings returns what the operator has decided, by the options of restart.
func (w *World) settings(words *words) tufupdate.Settings {
	s := tufupdate.Settings{Validity: map[string]time.Duration{}}
	for role, d := range words.pairs("validity") {
		s.Validity[role] = duration(d)
	}
	switch mode, _ := words.option("targets"); mode {
	case "online":
		s.Targets = tufupdate.TargetsOnline
	case "offline":
		s.Targets = tufupdate.TargetsOffline
	}
	if words.flag("notready") {
		s.NotReady = "bootstrap is under way"
	}
	s.ValidityOf = func(_ context.Context, role string) (time.Duration, error) {
		if w.failing().validity == role {
			return 0, errFault
		}
		return 0, nil
	}
	for _, text := range words.all("believe") {
		s.Believe = append(s.Believe, w.belief(text))
	}
	for _, text := range words.list("online") {
		declarer, role, _ := strings.Cut(text, ">")
		s.Online = append(s.Online, tufupdate.Delegation{Declarer: declarer, Role: role})
	}
	s.Uploads = words.list("uploads")
	s.HashBins, s.BothLayouts = words.flag("hashbins"), words.flag("bothlayouts")
	for role, version := range words.pairs("version") {
		if s.Versions == nil {
			s.Versions = map[string]int64{}
		}
		s.Versions[role] = int64(number(version))
	}
	return s
}

// belief returns what ROLE:FILE, ROLE:SHA256 or PREFIX:until=DURATION names. Of a file that is the
// SHA-256 that it has now.
func (w *World) belief(text string) tufupdate.Belief {
	role, which, _ := strings.Cut(text, ":")
	if d, ok := strings.CutPrefix(which, "until="); ok {
		return tufupdate.Belief{Role: role, Until: time.Now().Add(duration(d))}
	}
	if _, err := hex.DecodeString(which); err == nil && len(which) == 2*sha256.Size {
		return tufupdate.Belief{Role: role, SHA256: which}
	}
	data := w.read(w.named(which))
	if data == nil {
		panic(mistake("no file " + which))
	}
	return tufupdate.Belief{Role: role, SHA256: fmt.Sprintf("%x", sha256.Sum256(data))}
}

// currentSettings returns what the operator has decided now.
func (p *process) currentSettings(context.Context, string) (tufupdate.Settings, error) {
	if p.world.failing().settings {
		return tufupdate.Settings{}, errFault
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings, nil
}

// changeSettings is the verb settings.
func (w *World) changeSettings(words *words) string {
	p := w.process(words.process())
	s := w.settings(words)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s
	return ""
}

// holds reports whether the process's provider has the key of an ID.
func (p *process) holds(id string) bool { return !p.without[id] && p.provider.Holds(id) }

// A forgetter is an Updater whose operator may have it forget an app.
type forgetter interface {
	Forget(ctx context.Context, app string) (map[string]int64, error)
}

// forget is the verb forget.
func (w *World) forget(words *words) string {
	p := w.process(words.process())
	f, ok := any(p.updater).(forgetter)
	if !ok {
		panic(mistake("no Updater can forget yet"))
	}
	if _, err := f.Forget(w.t.Context(), w.repo.App); err != nil {
		return w.symbol(err)
	}
	p.known = newKnowledge()
	if w.judge != nil {
		delete(w.judge.memories, p.memory)
	}
	return ""
}

// run has the process renew, until it ends.
func (p *process) run() {
	ctx, cancel := context.WithCancel(p.world.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.updater.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.world.complain("a process ended with an error: %v", err)
		}
	}
}

// end stops the process.
func (p *process) end() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// ask answers the provider's requests that a history wants to fail.
func (p *process) ask(req keys.Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[req.Role]++
	fails := p.world.failing()
	switch {
	case fails.keys != "" && strings.HasPrefix(req.Role, fails.keys):
		return errFault
	case p.without[req.KeyID], fails.noKeys != "" && strings.HasPrefix(req.Role, fails.noKeys):
		return keys.ErrNoKey
	}
	return nil
}

// note notes a signature.
func (p *process) note(req keys.Request, message []byte) {
	var document struct {
		Type    string `json:"_type"`
		Version int64
	}
	decoder := json.NewDecoder(bytes.NewReader(message))
	err := decoder.Decode(&document)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || !strings.Contains(string(message), `"_type"`) { // or else it is a trial of the key
		p.signed = append(p.signed, signing{
			role: req.Role, keyID: req.KeyID, kind: document.Type, version: document.Version,
			public: declaredKey(req.Declared), message: bytes.Clone(message),
		})
	}
}

// take returns the signatures since it was last asked.
func (p *process) take() []signing {
	p.mu.Lock()
	defer p.mu.Unlock()
	signed := p.signed
	p.signed = nil
	return signed
}

// judgeSignatures complains of documents of the wrong kind.
func (w *World) judgeSignatures(signed []signing) {
	for _, s := range signed {
		kind := "targets"
		if s.role == "timestamp" || s.role == "snapshot" || s.role == "root" {
			kind = s.role
		}
		if s.kind != kind || s.role == "root" {
			w.complain("key %s signed a document of type %s for role %s", w.names[s.keyID], s.kind, s.role)
		}
	}
}

// pin is the verb pin.
func (w *World) pin(words *words) string {
	switch which := words.first(); which {
	case "stranger":
		w.pinned = w.other("stranger").Root
	case "garbage":
		w.pinned = []byte("{}")
	default:
		w.pinned = w.read(which + ".root.json")
		if n := number(which); n <= len(w.signedRoots) {
			w.pinned = w.signedRoots[n-1] // which is theirs, whatever the store holds
		} else if w.judge != nil {
			panic(mistake("no such root"))
		}
	}
	return ""
}

// symbol returns what an error is, without its text.
func (w *World) symbol(err error) string {
	if v, ok := errors.AsType[*tufupdate.VerificationError](err); ok {
		return "does not verify " + v.Role + " " + strings.TrimPrefix(v.File, w.repo.App+"/")
	}
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel.err) {
			if role := w.mentioned(err.Error()); role != "" && errors.Is(err, tufupdate.ErrNoKey) {
				return "refused " + sentinel.name + " " + role
			}
			return "refused " + sentinel.name
		}
	}
	if errors.Is(err, errFault) {
		return "fails"
	}
	return "refused"
}

type sentinel struct {
	name string
	err  error
}

func sentinels() []sentinel {
	return []sentinel{
		{"ErrInvalidApp", tufupdate.ErrInvalidApp}, {"ErrRootRole", tufupdate.ErrRootRole},
		{"ErrUnknownRole", tufupdate.ErrUnknownRole}, {"ErrTargetsOffline", tufupdate.ErrTargetsOffline},
		{"ErrNotBootstrapped", tufupdate.ErrNotBootstrapped}, {"ErrRootExpired", tufupdate.ErrRootExpired},
		{"ErrNoKey", tufupdate.ErrNoKey}, {"ErrConflict", tufupdate.ErrConflict}, {"ErrStopped", tufupdate.ErrStopped},
	}
}

// mentioned returns the role that a text speaks of first.
func (w *World) mentioned(text string) string {
	first, at := "", len(text)
	for role := range w.versions() {
		first, at = earlier(text, role, first, at)
	}
	for _, role := range slices.Sorted(maps.Keys(w.repo.Keys)) {
		first, at = earlier(text, role, first, at)
	}
	return first
}

// earlier returns role and where a text speaks of it, if that is before at or the longer name
// there.
func earlier(text, role, first string, at int) (string, int) {
	for _, form := range []string{"role " + role, fmt.Sprintf("role %q", role)} {
		i := strings.Index(text, form)
		if i >= 0 && (i < at || i == at && len(role) > len(first)) {
			return role, i
		}
	}
	return first, at
}
