package tufupdate_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/storagetest"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// run runs the updater, and returns what stops it and waits until it has.
func run(t *testing.T, u *tufupdate.Updater) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

func TestATaskSaysWhatBecameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		u := newUpdater(t, repo, repo.Provider(t))
		accepted, err := u.ForceOnline(t.Context(), repo.App, nil)
		require.NoError(t, err)
		require.NoError(t, uuid.Validate(accepted.ID))
		assert.Equal(t, tasks.StatePending, accepted.State)
		waiting, err := u.Task(t.Context(), accepted.ID)
		require.NoError(t, err)
		assert.Equal(t, tasks.StatePending, waiting.State, "nobody works yet")

		defer run(t, u)()
		task, err := u.Wait(t.Context(), accepted.ID)
		require.NoError(t, err)
		assert.Equal(t, tasks.StateSuccess, task.State)
		assert.Equal(t, []string{"targets", "snapshot", "timestamp"}, task.Result.Roles)
		assert.Equal(t, map[string]int64{"targets": 2, "snapshot": 2, "timestamp": 2}, task.Result.Versions)

		repo.Overwrite(t, repo.File("root", 2), repo.Read(t, repo.File("snapshot", 2)))
		accepted, err = u.ForceOnline(t.Context(), repo.App, nil)
		require.NoError(t, err)
		task, err = u.Wait(t.Context(), accepted.ID)
		require.NoError(t, err)
		assert.Equal(t, tasks.StateFailure, task.State)
		assert.Contains(t, task.Result.Error, "(acme/app/2.root.json) does not verify")
	})
}

func TestABadUploadIsAWarningOfTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		_, err := repo.Store.Create(t.Context(), repo.File("targets", 2), []byte("half"))
		require.NoError(t, err)
		u := newUpdater(t, repo, repo.Provider(t, "targets"))
		defer run(t, u)()
		accepted, err := u.ForceOnline(t.Context(), repo.App, nil)
		require.NoError(t, err)
		task, err := u.Wait(t.Context(), accepted.ID)
		require.NoError(t, err)
		assert.Equal(t, tasks.StateSuccess, task.State)
		require.Len(t, task.Result.Warnings, 1)
		assert.Contains(t, task.Result.Warnings[0], "2.targets.json")
	})
}

func TestTooMuchWorkIsRefused(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
		c.Tasks = tasks.NewMemory(tasks.MemoryOptions{Capacity: 1})
	})
	_, err := u.ForceOnline(t.Context(), repo.App, nil)
	require.NoError(t, err)
	_, err = u.ForceOnline(t.Context(), repo.App, nil)
	require.ErrorIs(t, err, tasks.ErrFull)
}

func TestAfterTheStopNothingIsAcceptedAndWhatWasIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		slow := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
			time.Sleep(5 * time.Second)
			return storagetest.Fault{}
		})
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		stop := run(t, u)
		accepted, err := u.ForceOnline(t.Context(), repo.App, nil)
		require.NoError(t, err)
		stop()
		task, err := u.Task(t.Context(), accepted.ID)
		require.NoError(t, err)
		assert.Equal(t, tasks.StateSuccess, task.State)
		_, err = u.ForceOnline(t.Context(), repo.App, nil)
		require.ErrorIs(t, err, tufupdate.ErrStopped)
	})
}

func TestARollThatHangsEndsWithItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		hang := storagetest.NewFlaky(repo.Store,
			func(storagetest.Call) storagetest.Fault { return storagetest.Fault{Hang: true} })
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store, c.RollTimeout = hang, time.Minute })
		_, err := u.Roll(t.Context(), repo.App, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// What settings do not know beforehand they are asked for, once a roll, bins by their prefix.
func TestSettingsAreAskedForTheValidityOfOtherRoles(t *testing.T) {
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{Succinct: 2, ExpiryPeriod: 5})
	var asked []string
	var down error
	u := newUpdater(t, repo, repo.Provider(t), settings(tufupdate.Settings{
		Validity: map[string]time.Duration{"timestamp": time.Hour},
		ValidityOf: func(_ context.Context, role string) (time.Duration, error) {
			asked = append(asked, role) // one after the other
			return map[string]time.Duration{"bin": 2 * time.Hour, "timestamp": 9 * time.Hour}[role], down
		},
	}))
	roll(t, u, repo, "bin")
	assert.ElementsMatch(t, []string{"bin", "snapshot"}, asked)
	roles, _ := status(t, u, repo)
	assert.WithinDuration(t, time.Now().Add(time.Hour), roles["timestamp"].Expires, time.Minute)
	assert.WithinDuration(t, time.Now().Add(5*24*time.Hour), roles["snapshot"].Expires, time.Minute,
		"left to the repository")
	for i := range 4 {
		assert.WithinDuration(t, time.Now().Add(2*time.Hour), roles[fmt.Sprintf("bin-%d", i)].Expires, time.Minute)
	}

	down = errors.New("no answer")
	before := files(t, repo)
	_, err := u.Roll(t.Context(), repo.App, []string{"bin"})
	require.ErrorIs(t, err, down)
	assert.ErrorContains(t, err, "validity of role bin")
	assert.Equal(t, before, files(t, repo))
}

func logTo(w io.Writer) func(*tufupdate.Config) {
	return func(c *tufupdate.Config) { c.Logger = slog.New(slog.NewTextHandler(w, nil)) }
}

func TestNoLogHoldsASignatureOrAKey(t *testing.T) {
	var log strings.Builder
	repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
	u := newUpdater(t, repo, repo.Provider(t), logTo(&log))
	result := roll(t, u, repo)
	md, err := metadata.Timestamp().FromBytes(repo.Read(t, repo.File("timestamp", 0)))
	require.NoError(t, err)
	require.NotEmpty(t, log.String())
	assert.NotContains(t, log.String(), hex.EncodeToString(md.Signatures[0].Signature))
	line := fmt.Sprintf("msg=published app=%s versions=%q", repo.App, fmt.Sprint(result.Versions))
	assert.Contains(t, log.String(), line)
	assert.Equal(t, 1, strings.Count(log.String(), "msg=published"), "a roll is one line")
}

func TestAnUpdaterRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		u := newUpdater(t, repo, repo.Provider(t))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for range cap(ended) {
			go func() { ended <- u.Run(ctx) }()
		}
		require.ErrorIs(t, <-ended, tufupdate.ErrRunning, "one of two at once is refused")
		require.ErrorIs(t, u.Run(t.Context()), tufupdate.ErrRunning)
		cancel()
		require.NoError(t, <-ended, "the other is not disturbed")
		require.ErrorIs(t, u.Run(t.Context()), tufupdate.ErrStopped)
	})
}

func TestAnUpdaterWhoseTaskStoreStoppedAcceptsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		broken := errors.New("out of reach")
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
			c.Tasks = stoppingTasks{tasks.NewMemory(tasks.MemoryOptions{}), broken}
		})
		require.ErrorIs(t, u.Run(t.Context()), broken)
		_, err := u.ForceOnline(t.Context(), repo.App, nil)
		require.ErrorIs(t, err, tufupdate.ErrStopped)
		require.ErrorIs(t, u.Run(t.Context()), tufupdate.ErrStopped)
	})
}

// stoppingTasks is a task store that stops by itself.
type stoppingTasks struct {
	tasks.Store
	err error
}

func (s stoppingTasks) Run(context.Context, func(context.Context, tasks.Task) (tasks.Result, error)) error {
	return s.err
}

// A request that is being checked while Run ends is refused, and not accepted for nobody to work.
func TestARequestThatMeetsTheEndOfRunIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		reading, goOn := make(chan struct{}), make(chan struct{})
		held := sync.OnceFunc(func() {
			close(reading)
			<-goOn
		})
		slow := storagetest.NewFlaky(repo.Store, func(storagetest.Call) storagetest.Fault {
			held()
			return storagetest.Fault{}
		})
		u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) { c.Store = slow })
		stop := run(t, u)
		refused := make(chan error, 1)
		go func() {
			_, err := u.ForceOnline(t.Context(), repo.App, nil)
			refused <- err
		}()
		<-reading
		stop()
		close(goOn)
		require.ErrorIs(t, <-refused, tufupdate.ErrStopped)
	})
}

// brieflyAway is a task store whose database is away at first.
type brieflyAway struct {
	tasks.Store
	asked atomic.Int64
	away  int64
}

func (b *brieflyAway) Get(ctx context.Context, id string) (tasks.Task, error) {
	if b.asked.Add(1) <= b.away {
		return tasks.Task{}, errors.New("the database is away for a moment")
	}
	return b.Store.Get(ctx, id)
}

func TestWaitOutlivesABriefFailureOfTheTaskStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
		for away, want := range map[int64]string{3: "", 1 << 40: "the database is away"} {
			u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
				c.Tasks = &brieflyAway{Store: tasks.NewMemory(tasks.MemoryOptions{}), away: away}
			})
			stop := run(t, u)
			accepted, err := u.ForceOnline(t.Context(), repo.App, nil)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			task, err := u.Wait(ctx, accepted.ID)
			cancel()
			if want == "" {
				require.NoError(t, err)
				assert.Equal(t, tasks.StateSuccess, task.State)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, want)
			}
			stop()
		}
	})
}

// Tasks that nobody works are noticed.
func TestAForgottenRunIsLogged(t *testing.T) {
	for name, test := range map[string]struct {
		runs, acceptOnly bool
		lines            int
	}{
		"forgotten": {false, false, 1}, "called": {true, false, 0}, "another process works": {false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				repo := testrepo.New(t, storage.NewMemory(storage.MemoryOptions{}), testrepo.Options{})
				var log records
				u := newUpdater(t, repo, repo.Provider(t), func(c *tufupdate.Config) {
					c.Logger, c.AcceptOnly = slog.New(&log), test.acceptOnly
				})
				for range 3 {
					_, err := u.ForceOnline(t.Context(), repo.App, nil)
					require.NoError(t, err)
				}
				if test.runs {
					defer run(t, u)()
				}
				time.Sleep(2 * time.Minute)
				assert.Equal(t, test.lines, log.count("Run has not been called"))
			})
		})
	}
}
