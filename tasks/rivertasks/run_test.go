package rivertasks

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/tasks"
)

// silent is a database, with its client, that does not answer while it starts or while it stops.
type silent struct {
	starts, stops bool // without an answer
	stopped       chan struct{}
}

func (s *silent) Insert(ctx context.Context, _ river.JobArgs, _ *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *silent) find(ctx context.Context, _ string) (*rivertype.JobRow, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (s *silent) client(*river.Config) (client, error) { return s, nil }
func (s *silent) Close() error                         { return nil }
func (s *silent) Stopped() <-chan struct{}             { return s.stopped }

func (s *silent) Start(ctx context.Context) error {
	if s.starts {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *silent) Stop(ctx context.Context) error {
	if s.stops {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func nothing(context.Context, tasks.Task) (tasks.Result, error) { return tasks.Result{}, nil }

func TestRunEndsThoughTheDatabaseIsSilent(t *testing.T) {
	for name, db := range map[string]*silent{"while it starts": {starts: true}, "while it stops": {stops: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{db, Options{Rescue: time.Minute, Logger: slog.New(slog.DiscardHandler)}}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Run(ctx, nothing) }()
				time.Sleep(10 * time.Minute)
				begun := time.Now()
				cancel()
				require.NoError(t, <-done)
				assert.LessOrEqual(t, time.Since(begun), s.options.Rescue+cancelTimeout)
			})
		})
	}
}

func TestWorkEndsBeforeItCountsAsLost(t *testing.T) {
	for _, rescue := range []time.Duration{time.Second, time.Minute, time.Hour} {
		limit := Options{Rescue: rescue}.workLimit()
		assert.Less(t, limit, rescue)
		assert.Greater(t, limit, rescue/2)
	}
}
