package rivertasks

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

// A buffer takes a log from many goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logged returns an outage and a River logger. lines returns what was logged at INFO and above.
func logged(t *testing.T, probe func(context.Context) error) (o *outage, river *slog.Logger, lines func() []string) {
	var log buffer
	to := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	ctx, end := context.WithCancel(t.Context())
	o = &outage{log: to, quiet: 90 * time.Second, run: t.Context(), ctx: ctx, end: end, probe: probe}
	return o, riverLogger(to, o), func() []string {
		synctest.Wait()
		return strings.Split(strings.TrimSpace(log.String()), "\n")
	}
}

func TestAnOutageIsALineWhenItBeginsAndOneWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		o, river, lines := logged(t, func(context.Context) error {
			if back.Load() {
				return nil
			}
			return errors.New("no connection")
		})
		defer o.close()
		for range 6000 { // ten minutes
			river.Error("producer: Error fetching jobs", "err", "no connection", "queue", "tuf_online")
			river.Error("Elector: Error attempting reelection", "err", "no connection")
			river.Warn("Elector: Current leader stepping down")
			o.trouble("storing an outcome", "no connection", time.Second)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Hour) // River waits, and the database is still away
		begin := `level=WARN msg="tasks: the database fails; it is tried again until it answers" ` +
			`during="producer: Error fetching jobs" error="no connection" retry=100ms`
		require.Equal(t, []string{begin}, lines())

		back.Store(true)
		time.Sleep(2 * time.Second)
		end := `level=INFO msg="tasks: the database answers again" after=10m0s`
		require.Equal(t, []string{begin, end}, lines())

		river.Error("producer: Error fetching jobs", "err", "no connection", "queue", "tuf_online")
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{begin, end, begin, strings.Replace(end, "10m0s", "0s", 1)}, lines(), "another outage")
	})
}

// River's elector pauses for up to 70 seconds after a failure, and the probe may meet a moment
// between two failures.
func TestAnOutageLastsWhileAnythingFails(t *testing.T) {
	for _, gap := range []time.Duration{time.Second, 15 * time.Second, 70 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			o, river, lines := logged(t, func(context.Context) error { return nil })
			defer o.close()
			for range 600 {
				river.Error("producer: Error fetching jobs", "err", "disk is full")
				time.Sleep(gap)
			}
			assert.Len(t, lines(), 1)
			time.Sleep(2 * time.Minute)
			assert.Len(t, lines(), 2)
		})
	}
}

// readable is a database that answers questions and stores nothing, as on a full disk.
type readable struct{ silent }

func (*readable) find(context.Context, string) (*rivertype.JobRow, error) {
	return nil, tasks.ErrNotFound
}
func (*readable) write(context.Context) error { return errors.New("disk is full") }

func TestAnOutageLastsWhileOnlyReadsSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		s := &Store{db: &readable{}, options: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
		o := s.newOutage(t.Context())
		defer o.close()
		o.trouble("storing an outcome", "disk is full", time.Second)
		time.Sleep(time.Hour)
		assert.True(t, o.active())
		assert.NotContains(t, log.String(), "answers again")
	})
}

func TestWhatFailsWhileARunStopsIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, river, lines := logged(t, func(context.Context) error { return nil })
		defer o.close()
		var stop context.CancelFunc
		o.run, stop = context.WithCancel(t.Context())
		stop()
		river.Error("producer: Error fetching jobs", "err", "context canceled")
		o.trouble("storing an outcome", "no connection", time.Second)
		assert.Equal(t, []string{""}, lines())
	})
}

func TestARunThatEndsDoesNotWaitForTheEndOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, river, lines := logged(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		river.Error("producer: Error fetching jobs", "err", "no connection")
		time.Sleep(o.quiet + probePause)
		begun := time.Now()
		o.close()
		assert.Equal(t, begun, time.Now())
		assert.Len(t, lines(), 1)
	})
}

func TestWhatAPersonHasToActOnIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, river, lines := logged(t, func(context.Context) error { return errors.New("no connection") })
		defer o.close()
		river.Info("River client started")
		river.Debug("Run loop started")
		river.Warn("Reindexer: Configured reindex indexes do not exist")
		river.Error("producer: Queue row not found when polling for setting changes", "queue", "tuf_online")
		river.Error("producer: Error fetching jobs", "err", "no connection")
		river.Error("JobRescuer: Attempted to rescue unhandled job kind, discarding", "job_kind", "other", "job_id", 7)
		river.With("client", "a").Warn("jobexecutor: Job appears to be stuck", "job_id", 7)
		assert.Equal(t, []string{
			`level=WARN msg="Reindexer: Configured reindex indexes do not exist"`,
			`level=ERROR msg="producer: Queue row not found when polling for setting changes" queue=tuf_online`,
			`level=WARN msg="tasks: the database fails; it is tried again until it answers" ` +
				`during="producer: Error fetching jobs" error="no connection" retry=100ms`,
			`level=ERROR msg="JobRescuer: Attempted to rescue unhandled job kind, discarding" job_kind=other job_id=7`,
			`level=WARN msg="jobexecutor: Job appears to be stuck" client=a job_id=7`,
		}, lines())
	})
}
