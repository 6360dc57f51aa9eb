package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tufonline/tufonline/tufupdate"
)

// expect is the verb expect.
func (w *World) expect(words *words) string {
	what := words.first()
	look, ok := map[string]func(*World, *process, []string) string{
		"target": (*World).expectTarget, "listed": (*World).expectListed, "hashes": (*World).expectHashes,
		"signers": (*World).expectSigners, "expires": (*World).expectExpires, "asked": (*World).expectAsked,
		"renewal": (*World).expectRenewal, "content": (*World).expectContent,
	}[what]
	if !ok {
		panic(mistake("expect " + what))
	}
	return look(w, w.process(words.process()), words.plain())
}

// expectTarget returns what a new client gets for a target file.
func (w *World) expectTarget(_ *process, paths []string) string {
	var parts []string
	for _, path := range paths {
		client, err := w.newClient(brandNew)
		if err != nil {
			return "rejected"
		}
		data, err := client.state.Target(path)
		if err != nil {
			data = []byte("none")
		}
		parts = append(parts, string(data))
	}
	return strings.Join(parts, ", ")
}

func (w *World) expectListed(_ *process, roles []string) string {
	var parts []string
	for _, role := range roles {
		parts = append(parts, fmt.Sprintf("%s %d", role, w.versions()[role]))
	}
	return strings.Join(parts, ", ")
}

// expectHashes returns which roles the published snapshot, or of the snapshot the timestamp, lists
// with length and hash.
func (w *World) expectHashes(_ *process, roles []string) string {
	var parts []string
	for _, role := range roles {
		from := "snapshot"
		if role == "snapshot" {
			from = "timestamp"
		}
		d := w.draftOf("", w.read(w.named(from)))
		info, _ := d.object("meta")[role+".json"].(object)
		if info["hashes"] != nil && info["length"] != nil {
			parts = append(parts, role)
		}
	}
	return strings.Join(parts, ", ")
}

// expectSigners returns the names of the keys that have signed a file.
func (w *World) expectSigners(_ *process, files []string) string {
	var file struct{ Signatures []struct{ KeyID string } }
	if err := json.Unmarshal(w.read(w.named(files[0])), &file); err != nil {
		panic(mistake(files[0] + ": " + err.Error()))
	}
	var parts []string
	for _, s := range file.Signatures {
		name := w.names[s.KeyID]
		if name == "" {
			name = "a stranger"
		}
		parts = append(parts, name)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// expectExpires returns in how long what is published of roles expires.
func (w *World) expectExpires(_ *process, roles []string) string {
	var parts []string
	for _, role := range roles {
		name := w.named(role)
		expires, err := time.Parse("2006-01-02T15:04:05Z", fmt.Sprint(w.draftOf(role, w.read(name)).signed["expires"]))
		if err != nil {
			panic(mistake(err.Error()))
		}
		left := expires.Sub(time.Now().UTC().Truncate(time.Second))
		text := left.Round(time.Second).String()
		if day := 24 * time.Hour; left%day == 0 {
			text = fmt.Sprintf("%dd", left/day)
		}
		parts = append(parts, role+" "+text)
	}
	return strings.Join(parts, ", ")
}

// expectAsked returns for which roles the provider was asked for keys, since this was last asked.
func (w *World) expectAsked(p *process, _ []string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parts []string
	for _, role := range slices.Sorted(maps.Keys(p.asked)) {
		parts = append(parts, fmt.Sprintf("%s %d", role, p.asked[role]))
	}
	p.asked = map[string]int{}
	return strings.Join(parts, ", ")
}

// expectRenewal returns how the renewal is.
func (w *World) expectRenewal(p *process, _ []string) string {
	if err := p.updater.Ready(); errors.Is(err, tufupdate.ErrRenewalLate) {
		return "late"
	}
	health, ok := p.updater.Health(w.repo.App)
	switch {
	case !ok:
		return "has not looked"
	case health.Healthy():
		return "well"
	}
	return strings.Join(troubles(health.Troubles), "; ")
}

// troubles says what is wrong with an app, and who has to act.
func troubles(all []tufupdate.Trouble) (parts []string) {
	for _, t := range all {
		about := t.Role
		if about == "" {
			about = "app"
		}
		if part := fmt.Sprintf("%s fails %s for %s", about, t.Code, t.Who); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

// expectContent returns the targets that a targets document lists, with what they should be.
func (w *World) expectContent(_ *process, files []string) string {
	targets := w.draftOf("", w.read(w.named(files[0]))).object("targets")
	return strings.Join(slices.Sorted(maps.Keys(targets)), ", ")
}
