package rivertasks

import (
	"context"
	"log/slog"
)

// A riverLog is the slog.Handler of River's logger. River writes a line for each statement that
// fails, a dozen a second while the database is away.
//
//   - A line about a job, or an error without a cause, goes through as it is.
//   - An error with a cause is told to the outage, which logs the first one. It goes on as DEBUG.
//   - A warning goes through, but as DEBUG during an outage.
//   - INFO goes on as DEBUG.
type riverLog struct {
	slog.Handler
	outage *outage // nil for a client that works no jobs
}

// riverLogger returns a logger for River. o may be nil.
func riverLogger(to *slog.Logger, o *outage) *slog.Logger { return slog.New(riverLog{to.Handler(), o}) }

// Enabled implements slog.Handler.
func (l riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	if level >= slog.LevelWarn {
		return true // the outage has to know
	}
	return l.Handler.Enabled(ctx, min(level, slog.LevelDebug))
}

// Handle implements slog.Handler.
func (l riverLog) Handle(ctx context.Context, r slog.Record) error {
	var cause string
	var job bool
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "err", "error":
			cause = a.Value.String()
		case "job_id", "job_kind", "kind":
			job = true
		}
		return true
	})
	switch {
	case job && r.Level >= slog.LevelWarn:
	case r.Level >= slog.LevelError && cause != "" && l.outage != nil:
		l.outage.trouble(r.Message, cause, pollInterval)
		r.Level = slog.LevelDebug
	case r.Level == slog.LevelWarn && l.outage != nil && l.outage.active():
		r.Level = slog.LevelDebug
	case r.Level < slog.LevelWarn:
		r.Level = min(r.Level, slog.LevelDebug)
	}
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l riverLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return riverLog{l.Handler.WithAttrs(attrs), l.outage}
}

// WithGroup implements slog.Handler.
func (l riverLog) WithGroup(name string) slog.Handler {
	return riverLog{l.Handler.WithGroup(name), l.outage}
}
