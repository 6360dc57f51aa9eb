package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/tufonline/tufonline/internal/testrepo"
)

// nested are delegations three deep, with names that need quoting.
func nested() []testrepo.Delegation {
	return []testrepo.Delegation{
		{Name: "team a", Paths: []string{"a/*"}, Target: "a/file", Children: []testrepo.Delegation{
			{Name: "inner", Paths: []string{"a/*"}, Target: "a/inner", Children: []testrepo.Delegation{
				{Name: "innermost", Paths: []string{"a/*"}, Target: "a/innermost"},
			}},
		}},
		{Name: "team+b/ü", Paths: []string{"b/*"}, Target: "b/file"},
	}
}

// build is the verb repo.
func (w *World) build(words *words) string {
	o := testrepo.Options{
		Inconsistent: words.flag("inconsistent"), Hashes: words.flag("hashes"),
		Pretty: words.flag("pretty"), Unknown: words.flag("unknown"),
		HashBins: words.number("hashbins"), Succinct: words.number("succinct"), ExpiryPeriod: words.number("period"),
		Keys: words.pairs("keys"), Listed: words.list("listed"),
		Threshold: map[string]int{}, Expires: map[string]time.Time{}, Share: words.pairs("share"),
	}
	words.flag("plain")
	if words.flag("nested") {
		o.Delegation = nested()
	}
	o.BinTarget, _ = words.option("bintarget")
	for role, n := range words.pairs("threshold") {
		o.Threshold[role] = number(n)
	}
	for role, d := range words.pairs("expires") {
		o.Expires[role] = time.Now().Add(duration(d))
	}
	for _, d := range words.all("delegate") {
		o.Delegation = delegated(o.Delegation, d)
	}
	custody := words.pairs("custody")
	for role, text := range custody {
		_, all, _ := strings.Cut(text, "/")
		o.Threshold[role] = number(all)
	}
	w.offline = words.list("offline")
	w.options = o
	w.repo = testrepo.New(w.t, w.store.Memory, o)
	w.pinned, w.root, w.signedRoots = w.repo.Root, 1, [][]byte{w.repo.Root}
	for role, text := range custody {
		held, _, _ := strings.Cut(text, "/")
		for _, k := range w.repo.Keys[role][number(held):] {
			w.absent[k.ID] = true
		}
	}
	w.store.judge()
	w.nameKeys()
	if w.judge != nil {
		w.judge.begin()
	}
	if !w.swift {
		setup, _ := w.newClient("setup") // which may begin with what has expired
		w.clients = []*client{setup}
	}
	return ""
}

// delegated adds [PARENT>]NAME:PATHS[:TARGET] to delegations.
func delegated(all []testrepo.Delegation, text string) []testrepo.Delegation {
	if parent, rest, ok := strings.Cut(text, ">"); ok {
		for i := range all {
			if all[i].Name == parent {
				all[i].Children = delegated(all[i].Children, rest)
				return all
			}
		}
		for i := range all {
			all[i].Children = delegated(all[i].Children, text)
		}
		return all
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 {
		panic(mistake(fmt.Sprintf("delegate=%s: no paths", text)))
	}
	d := testrepo.Delegation{Name: parts[0], Paths: strings.Split(parts[1], ",")}
	if len(parts) > 2 {
		d.Target = parts[2]
	}
	return append(all, d)
}
