package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// status is the verb status.
func (w *World) status(words *words) string {
	p := w.process(words.process())
	p.take()
	app, ok := words.option("app")
	if !ok {
		app = w.repo.App
	}
	status, err := p.updater.Status(w.t.Context(), app)
	for _, s := range p.take() {
		if s.kind != "" {
			w.complain("a look at the status has signed a %s", s.kind)
		}
	}
	if err != nil {
		return w.symbol(err)
	}
	kinds := map[string][]string{}
	var order []string
	versions := map[string]int64{}
	for _, r := range status.Roles {
		kind := "offline"
		if r.Online {
			kind = "online"
		}
		if !r.Verified {
			kind += " broken"
		}
		if r.ExpiresIn != nil && *r.ExpiresIn <= 0 {
			kind += " expired"
		}
		if !slices.Contains(order, kind) {
			order = append(order, kind)
		}
		kinds[kind] = append(kinds[kind], r.Role)
		versions[r.Role] = r.Version
	}
	var outcome []string
	for _, kind := range order {
		outcome = append(outcome, kind+" "+listing(kinds[kind], versions))
	}
	outcome = append(outcome, troubles(status.Troubles)...)
	for _, upload := range status.Uploads {
		becomes := "accepts"
		if upload.Waits != "" {
			becomes = "ignores"
		}
		outcome = append(outcome, fmt.Sprintf("%s %s %d", becomes, upload.Role, upload.Version))
	}
	return strings.Join(append(outcome, w.warnings(status.Warnings)...), "; ")
}

// advance is the verb advance.
func (w *World) advance(words *words) string {
	by, _ := words.option("by")
	total := duration(words.first())
	step := total
	if by != "" {
		step = duration(by)
	}
	before := w.versions()
	w.store.judge()
	var judgings []*rolling
	if w.judge != nil {
		for _, name := range slices.Sorted(maps.Keys(w.processes)) {
			if p := w.processes[name]; p.stop != nil {
				judgings = append(judgings, w.judge.before(p))
			}
		}
	}
	rejected := ""
	for passed := time.Duration(0); passed < total; passed += step {
		time.Sleep(min(step, total-passed))
		synctest.Wait()
		if w.swift {
			continue
		}
		c := w.new()
		seen, err := c.look()
		if err != nil && rejected == "" {
			rejected = fmt.Sprintf("new rejects after %v", passed+step)
		} else if err == nil {
			w.judgeVersions(c, seen)
		}
	}
	w.store.judge()
	after := w.versions()
	var roles []string
	for _, role := range order(after) {
		if after[role] > before[role] {
			roles = append(roles, role)
		}
	}
	var outcome []string
	if len(roles) > 0 {
		outcome = append(outcome, "published "+listing(roles, after))
	}
	if rejected != "" {
		outcome = append(outcome, rejected)
	}
	for _, r := range judgings {
		r.advanced = true
		signed := r.p.take()
		w.judgeSignatures(signed)
		r.judgeAll(signed, nil)
	}
	for _, p := range w.processes {
		w.judgeSignatures(p.take())
	}
	return strings.Join(outcome, "; ")
}

// order returns roles as a roll gives them: targets and delegated roles, snapshot, timestamp.
func order(versions map[string]int64) (roles []string) {
	for role := range versions {
		roles = append(roles, role)
	}
	rank := func(role string) int {
		return slices.Index([]string{metadata.TIMESTAMP, metadata.SNAPSHOT, "", metadata.TARGETS}, role)
	}
	slices.SortFunc(roles, func(a, b string) int {
		ra, rb := rank(a), rank(b)
		if ra < 0 {
			ra = 2
		}
		if rb < 0 {
			rb = 2
		}
		if ra != rb {
			return rb - ra
		}
		return strings.Compare(a, b)
	})
	return roles
}
