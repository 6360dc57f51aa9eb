package rivertasks

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	probePause   = time.Second
	probeTimeout = 5 * time.Second
)

// An outage is the time in which the database fails. It is logged once when it begins and once when
// it ends. Each Run has one, which River's log and the Run itself tell of trouble. It ends when
// nothing has failed for a while and a write has succeeded since.
type outage struct {
	log   *slog.Logger
	quiet time.Duration               // see Options
	probe func(context.Context) error // writes something to the database
	run   context.Context             // ends when the Run is told to stop
	ctx   context.Context             // ends with the Run
	end   context.CancelFunc
	watch sync.WaitGroup

	mu    sync.Mutex
	lasts bool
	since time.Time
	last  time.Time // when trouble was told last
}

// newOutage returns what Run needs to log outages. The caller calls close.
func (s *Store) newOutage(run context.Context) *outage {
	ctx, end := context.WithCancel(context.WithoutCancel(run)) // a Run that stops still writes outcomes
	return &outage{log: s.options.Logger, quiet: s.options.Quiet, run: run, ctx: ctx, end: end, probe: s.db.write}
}

// close stops the watch. After it, trouble does nothing.
func (o *outage) close() {
	o.mu.Lock()
	o.end()
	o.mu.Unlock()
	o.watch.Wait()
}

// trouble says that something failed, which is tried again after retry at the latest. What fails
// while the Run stops begins no outage.
func (o *outage) trouble(what, why string, retry time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	if o.lasts || o.run.Err() != nil || o.ctx.Err() != nil {
		return
	}
	o.lasts, o.since = true, o.last
	o.log.WarnContext(o.ctx, "tasks: the database fails; it is tried again until it answers",
		"during", what, "error", why, "retry", retry)
	o.watch.Go(o.await)
}

// active reports whether an outage lasts.
func (o *outage) active() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lasts
}

// await waits for the end of an outage, and logs it.
func (o *outage) await() {
	ticker := time.NewTicker(probePause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-o.ctx.Done():
			return
		}
		if o.isQuiet() && o.answers() && o.over() {
			return
		}
	}
}

// isQuiet reports whether there was no trouble lately.
func (o *outage) isQuiet() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.last) >= o.quiet
}

func (o *outage) answers() bool {
	ctx, cancel := context.WithTimeout(o.ctx, probeTimeout)
	defer cancel()
	return o.probe(ctx) == nil
}

// over ends the outage, unless there was trouble meanwhile.
func (o *outage) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.last) < o.quiet {
		return false
	}
	o.lasts = false
	o.log.InfoContext(o.ctx, "tasks: the database answers again", "after", o.last.Sub(o.since).Round(time.Second))
	return true
}
