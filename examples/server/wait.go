package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tufonline/tufonline/internal/refserver"
	"github.com/tufonline/tufonline/storage"
)

// waitOptions say how the start waits for what is away.
type waitOptions struct {
	try     time.Duration // limits one try
	pause   time.Duration // after the first try; each pause is twice as long as the one before
	longest time.Duration // pause
}

func patientWait() waitOptions {
	return waitOptions{try: 30 * time.Second, pause: time.Second, longest: time.Minute}
}

// until opens something. While it fails for a reason that may pass, until tries again, and
// readiness checks name what is waited for. The error is that of a try that cannot succeed, or that
// of ctx.
func until[T any](ctx context.Context, wait waitOptions, starting *refserver.Starting, log *slog.Logger, noun string,
	open func(context.Context) (T, error)) (T, error) {
	defer starting.WaitFor(noun)()
	began, waited := time.Now(), false
	for pause := wait.pause; ; pause = min(2*pause, wait.longest) {
		opened, err := try(ctx, wait.try, open)
		if err == nil && waited {
			log.Info("waiting is over", "for", noun, "waited", time.Since(began))
		}
		if ctx.Err() != nil && err != nil {
			return opened, ctx.Err()
		}
		if err == nil || !mayPass(err) {
			return opened, err
		}
		level := slog.LevelWarn
		if waited {
			level = slog.LevelDebug
		}
		waited = true
		log.Log(ctx, level, "waiting", "for", noun, "error", err, "next", time.Now().Add(pause))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return opened, ctx.Err()
		}
	}
}

// try opens something within a limit.
func try[T any](ctx context.Context, limit time.Duration, open func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	opened, err := open(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return opened, err
}

// mayPass reports whether opening a store may succeed later, without another option or folder.
//
//   - A store without atomic writes stays one.
//   - Any other failure of a probe is the service's: it was silent or throttled, or it refused.
//   - The network, the limit of a try, and a connection that a database refused or broke off may
//     have better luck. So may a database that starts, stops, or has no room.
//
// Nothing else passes: what cannot be read in a URL, a folder that does not exist, a table of
// another maker.
func mayPass(err error) bool {
	if errors.Is(err, storage.ErrNoAtomicWrites) {
		return false
	}
	for _, passing := range []error{errProbe, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, passing) {
			return true
		}
	}
	if failure, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Connection, resources, intervention of an operator, system.
		class := failure.Code[:min(2, len(failure.Code))]
		if slices.Contains([]string{"08", "53", "57", "58"}, class) {
			return true
		}
	}
	_, database := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[*net.OpError](err)
	_, name := errors.AsType[*net.DNSError](err)
	return database || network || name
}
