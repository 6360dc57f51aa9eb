package tufupdate

import (
	"context"
	"log/slog"
	"time"
)

// report ends a round. It logs how many more apps could not be judged, for how many that has
// lasted, and how many can be judged again.
func (h *health) report(ctx context.Context, now, again time.Time) {
	for _, l := range h.takeOutages(now, again) {
		h.log.LogAttrs(ctx, l.level, l.text, l.attrs...)
	}
}

func (h *health) takeOutages(now, again time.Time) (lines []line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.whole = true
	var first, late struct {
		n int
		f *found
		t Trouble
	}
	for _, f := range h.apps {
		for _, t := range f.Troubles {
			switch {
			case !t.outage:
			case f.said == nothing:
				f.said = begun
				first.n++
				first.f, first.t = f, t
			case f.said == begun && now.Sub(t.Since) > h.patience:
				f.said = lasting
				late.n++
				late.f, late.t = f, t
			}
		}
	}
	if first.n > 0 {
		lines = append(lines, line{slog.LevelWarn, "renewal: apps cannot be judged", []slog.Attr{
			slog.Int("apps", first.n), slog.String("app", first.f.App), slog.String("error", first.t.Why),
			slog.Time("again", again),
		}})
	}
	if late.n > 0 {
		lines = append(lines, line{slog.LevelError, "renewal: apps cannot be judged for several rounds", []slog.Attr{
			slog.Int("apps", late.n), slog.String("app", late.f.App), slog.String("error", late.t.Why),
			slog.Time("since", late.t.Since),
		}})
	}
	if h.over > 0 {
		lines = append(lines, line{slog.LevelInfo, "renewal: apps can be judged again", []slog.Attr{
			slog.Int("apps", h.over),
		}})
		h.over = 0
	}
	return lines
}

// share notes a trouble that all apps have, or that there is none, and logs when that changes.
func (h *health) share(ctx context.Context, t *Trouble, now time.Time) {
	h.mu.Lock()
	before := h.common
	if t != nil {
		t.Since = now
		if before != nil {
			t.Since = before.Since
		}
	}
	h.common = t
	h.mu.Unlock()
	switch {
	case t != nil && before == nil:
		h.log.LogAttrs(ctx, slog.LevelError, "trouble of all apps", t.attrs()...)
	case t == nil && before != nil:
		h.log.InfoContext(ctx, "trouble of all apps is over", "code", before.Code, "lasted", now.Sub(before.Since))
	}
}
