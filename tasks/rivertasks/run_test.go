package rivertasks

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent is a database and its client. It does not answer, and blocks the start or the stop.
type silent struct {
	starts, stops bool // whether Start or Stop blocks
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

func (s *silent) settle(ctx context.Context, _ Outcome) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (s *silent) write(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
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
				s := &Store{db: db, options: Options{Rescue: time.Minute, Logger: slog.New(slog.DiscardHandler)}}
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

// River forgets an attempt if it worked two at one task. Then its Stop does not wait.
func TestRunWaitsForTheWorkThatRiverForgot(t *testing.T) {
	for name, takes := range map[string]time.Duration{"that ends": 10 * time.Second, "that does not end": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Store{options: Options{Rescue: time.Minute, Workers: 1, Logger: slog.New(slog.DiscardHandler)}}
				begun := time.Now()
				row := &rivertype.JobRow{
					ID: 1, Attempt: 1, MaxAttempts: 20, AttemptedAt: &begun, State: rivertype.JobStateRunning,
					EncodedArgs: []byte(`{"id":"a","app":"acme","roles":["timestamp"]}`), Metadata: []byte(`{}`),
				}
				w := newWorker(s.options, func(context.Context, Outcome) (bool, error) { return true, nil },
					func(context.Context, tasks.Task) (tasks.Result, error) {
						time.Sleep(takes)
						return tasks.Result{}, nil
					})
				go func() { _ = w.Work(t.Context(), &river.Job[job]{JobRow: row}) }()
				synctest.Wait()
				outlive, cancel := context.WithCancel(t.Context())
				s.stop(outlive, cancel, &silent{}, w)
				assert.Equal(t, min(takes, s.options.Rescue+cancelTimeout), time.Since(begun))
				time.Sleep(takes)
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

func TestThePackageLinksNoDatabase(t *testing.T) {
	linked, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(linked), "github.com/riverqueue/river")
	for _, other := range []string{"database/sql\n", "github.com/jackc/pgx", "modernc.org/sqlite", "river/riverdriver/"} {
		if strings.Contains(string(linked), other) {
			t.Errorf("it links %s", other)
		}
	}
}
