package simulation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// judgeHashes judges whether what was signed is listed with its SHA-256: the snapshot, and targets
// roles, of bins only if the operator wants that.
func (r *rolling) judgeHashes(signed []signing) {
	j := r.judge
	if r.after.snapshot == nil {
		return
	}
	for _, s := range signed {
		if s.kind == "timestamp" && s.paper.version == r.after.timestamp.version && s.paper.meta["snapshot"].sha == "" {
			j.complain(KindHash, "timestamp %d lists the snapshot without SHA-256", s.paper.version)
		}
		e, ok := r.after.snapshot.meta[s.role]
		if s.kind != "targets" || !ok || e.version != s.paper.version || e.sha != "" {
			continue
		}
		if r.tree[s.role].bits == 0 && len(r.tree[s.role].prefixes) == 0 || r.p.settings.HashBins {
			j.complain(KindHash, "%s %d was signed, and is listed without SHA-256", s.role, s.paper.version)
		}
	}
}

// judgeSigners judges whether all keys that the provider holds have signed. So no client fails
// where one of them is replaced later.
func (r *rolling) judgeSigners() {
	j := r.judge
	if !j.world.fails.none() {
		return
	}
	papers := maps.Clone(r.after.papers)
	papers["timestamp"], papers["snapshot"] = r.after.timestamp, r.after.snapshot
	for _, role := range slices.Sorted(maps.Keys(papers)) {
		p, who := papers[role], r.tree[role]
		if role == "timestamp" || role == "snapshot" {
			who = r.view.roles[role]
		}
		if p == nil || p.problem != nil || !r.signedNow(role, p) {
			continue
		}
		for id, k := range who.keys {
			one := named{keys: map[string]*metadata.Key{id: k}, threshold: 1}
			if r.p.holds(id) && !p.by(one) {
				j.complain(KindKey, "%s %d lacks the signature of key %s, which the provider holds", role, p.version, j.name(id))
			}
		}
	}
}

// judgeSnapshot judges a snapshot that is signed.
func (r *rolling) judgeSnapshot(p *paper) {
	j := r.judge
	for _, role := range slices.Sorted(maps.Keys(p.meta)) {
		r.judgeEntry(role, p.meta[role])
	}
	floors := r.floors
	if r.again {
		floors = r.known
	}
	for _, role := range slices.Sorted(maps.Keys(floors)) {
		if _, ok := p.meta[role]; ok {
			continue
		}
		s := r.before.snapshot
		only := r.only["snapshot"]
		if s == nil && only != nil && only.by(r.view.roles["snapshot"]) && only.meta[role].version == 0 {
			j.excuses["present keys signed a snapshot without it, and there is no other file"]++
			continue
		}
		if _, ok := r.tree[role]; ok {
			j.complain(KindLeaves, "%s left snapshot %d, and is declared", role, p.version)
		} else if s != nil && s.by(r.view.roles["snapshot"]) && s.meta[role].version > 0 {
			j.complain(KindLeaves, "%s left snapshot %d, and the snapshot before verifies", role, p.version)
		}
	}
}

func (r *rolling) judgeEntry(role string, e entry) {
	j := r.judge
	if f, ok := r.floor(role); ok && e.version < f.version {
		j.complain(KindBack, "%s %d is listed, where %d was published", role, e.version, f.version)
		return
	}
	if f, ok := r.floor(role); ok && f.version == e.version && e.sha == "" {
		return // it stays listed, and nothing more is said of it
	}
	if s := r.before.snapshot; s != nil && r.before.genuine && s.meta[role] == e {
		return
	}
	doc := r.resolve(role, e)
	if doc == nil {
		inVain := !j.world.fails.none() && len(r.messages(prefixOf(role), e.version)) > 0 // a bin's that was not written
		if _, declared := r.tree[role]; declared && !r.again && !inVain {
			j.complain(KindUnlisted, "%s %d is listed, and there is no such file", role, e.version)
		}
		return
	}
	if r.signedNow(role, doc) || r.again && len(r.messages(prefixOf(role), e.version)) > 0 {
		return // it is judged where it is signed
	}
	who, ok := r.tree[role]
	if !ok {
		return
	}
	good := doc.by(who)
	if f, _ := r.floor(role); f.version != e.version && !good && !r.again {
		j.complain(KindUnlisted, "%s %d is newly listed, and its present keys have not signed it", role, e.version)
		return
	}
	if good && j.index(role, doc.content) < 0 {
		uploads := slices.ContainsFunc(r.p.settings.Uploads, func(name string) bool {
			return name == role || name == prefixOf(role)
		})
		switch {
		case !r.online(role):
			j.excuse(role, doc.content, "present keys signed it, and the role is offline")
		case uploads:
			j.excuse(role, doc.content, "present keys signed it, and its holders upload")
		case !r.view.consistent && who.all(doc.paths, role):
			j.excuse(role, doc.content, "present keys signed it, and there is no other file")
		}
	}
	r.judgeWords(role, doc, false)
}

// all reports whether the paths of target files may be a role's: of a bin, those that fall into it.
func (n named) all(paths []string, role string) bool {
	for _, path := range paths {
		sum := sha256.Sum256([]byte(path))
		digits := hex.EncodeToString(sum[:])
		switch {
		case n.bits > 0:
			at := (int(sum[0])<<24 | int(sum[1])<<16 | int(sum[2])<<8 | int(sum[3])) >> (32 - n.bits)
			if role != fmt.Sprintf("%s-%0*x", prefixOf(role), (n.bits+3)/4, at) {
				return false
			}
		case len(n.prefixes) > 0:
			if !slices.ContainsFunc(n.prefixes, func(prefix string) bool { return strings.HasPrefix(digits, prefix) }) {
				return false
			}
		}
	}
	return true
}

// judgeTimestamp judges to which snapshot a timestamp leads.
func (r *rolling) judgeTimestamp(p *paper) {
	j := r.judge
	e := p.meta["snapshot"]
	if len(r.messages("snapshot", e.version)) > 0 {
		return // it is judged where it is signed
	}
	s := j.find(r.view, "snapshot", e)
	if known := j.snapshots[e.version]; known != nil && r.p.known.root > 0 && (e.sha == "" || e.sha == known.sha) {
		s = known // it may be in the process's cache
	}
	if s == nil && r.again {
		return
	}
	if s == nil {
		j.complain(KindUnlisted, "timestamp %d lists snapshot %d, and there is no such file", p.version, e.version)
		return
	}
	if !s.by(r.view.roles["snapshot"]) && !r.again {
		j.complain(KindUnlisted, "timestamp %d lists snapshot %d, which its present keys have not signed", p.version,
			e.version)
	}
	r.judgeSnapshot(s)
}
