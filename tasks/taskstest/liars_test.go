package taskstest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tufonline/tufonline/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func honest() Harness {
	return Harness{Open: func(_ testing.TB, capacity int) func() tasks.Store {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
		return func() tasks.Store { return m }
	}}
}

// A liar is a Store some of whose methods are others.
type liar struct {
	tasks.Store
	add func(context.Context, tasks.Task) error
	get func(context.Context, string) (tasks.Task, error)
	run func(context.Context, work) error
}

func (l liar) Add(ctx context.Context, t tasks.Task) error {
	if l.add == nil {
		return l.Store.Add(ctx, t)
	}
	return l.add(ctx, t)
}

func (l liar) Get(ctx context.Context, id string) (tasks.Task, error) {
	if l.get == nil {
		return l.Store.Get(ctx, id)
	}
	return l.get(ctx, id)
}

func (l liar) Run(ctx context.Context, w func(context.Context, tasks.Task) (tasks.Result, error)) error {
	if l.run == nil {
		return l.Store.Run(ctx, w)
	}
	return l.run(ctx, w)
}

// adding, getting and working make liars out of an honest store.
func adding(add func(ctx context.Context, s tasks.Store, t tasks.Task) error) func(testing.TB,
	tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, add: func(ctx context.Context, t tasks.Task) error { return add(ctx, s, t) }}
	}
}

func getting(get func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error)) func(testing.TB,
	tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, get: func(ctx context.Context, id string) (tasks.Task, error) { return get(ctx, s, id) }}
	}
}

// working changes what the store works with; run is the context of Run.
func working(change func(run context.Context, w work) work) func(testing.TB, tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, run: func(ctx context.Context, w work) error { return s.Run(ctx, change(ctx, w)) }}
	}
}

func TestSuiteRefusesLiars(t *testing.T) {
	for _, c := range []struct {
		name   string
		turn   func(testing.TB, tasks.Store) tasks.Store // makes a liar out of an honest store
		broken string                                    // a rule that notices
	}{
		{
			"forgets what it accepted",
			adding(func(context.Context, tasks.Store, tasks.Task) error { return nil }),
			"an accepted task is pending until a worker has it",
		},
		{
			"forgets what has ended",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if got.State.Ended() {
					return tasks.Task{}, tasks.ErrNotFound
				}
				return got, err
			}),
			"a task is started while it is worked, and ends with its result",
		},
		{
			"forgets results",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				got.Result = tasks.Result{}
				return got, err
			}),
			"a task is started while it is worked, and ends with its result",
		},
		{
			"forgets tasks when it starts again",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var runs atomic.Int32
				return liar{
					Store: s,
					run: func(ctx context.Context, w work) error {
						runs.Add(1)
						return s.Run(ctx, w)
					},
					get: func(ctx context.Context, id string) (tasks.Task, error) {
						got, err := s.Get(ctx, id)
						if runs.Load() > 1 && got.State.Ended() {
							return tasks.Task{}, tasks.ErrNotFound
						}
						return got, err
					},
				}
			},
			"a task that has ended stays so",
		},
		{
			"knows every task",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if errors.Is(err, tasks.ErrNotFound) {
					return tasks.Task{ID: id, State: tasks.StatePending}, nil
				}
				return got, err
			}),
			"a task that nobody added is not found",
		},
		{
			"takes a failure for an absence",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if err != nil {
					err = tasks.ErrNotFound
				}
				return got, err
			}),
			"a context that has ended makes no task unknown, and begins none",
		},
		{
			"says that pending tasks are started",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if got.State == tasks.StatePending {
					got.State = tasks.StateStarted
				}
				return got, err
			}),
			"an accepted task is pending until a worker has it",
		},
		{
			"says that started tasks are pending",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if got.State == tasks.StateStarted {
					got.State = tasks.StatePending
				}
				return got, err
			}),
			"a task is started while it is worked, and ends with its result",
		},
		{
			"says that failures are successes",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
					r, _ := w(ctx, t)
					return r, nil
				}
			}),
			"work that fails ends its task with the reason",
		},
		{
			"says nothing of a panic",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
					defer func() { _ = recover() }()
					return w(ctx, t)
				}
			}),
			"work that panics ends its task with the reason",
		},
		{
			"says that what it has is new",
			adding(func(ctx context.Context, s tasks.Store, t tasks.Task) error {
				if err := s.Add(ctx, t); !errors.Is(err, tasks.ErrExists) {
					return err
				}
				return nil
			}),
			"an ID is taken once",
		},
		{
			"takes an ID of all who come at once",
			adding(func(ctx context.Context, s tasks.Store, t tasks.Task) error {
				if err := s.Add(ctx, t); !errors.Is(err, tasks.ErrExists) {
					return err
				}
				return nil
			}),
			"of racing adds of one ID one is accepted",
		},
		{
			"mixes up tasks",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var mu sync.Mutex
				var first string
				return liar{
					Store: s,
					add: func(ctx context.Context, t tasks.Task) error {
						mu.Lock()
						defer mu.Unlock()
						if first == "" {
							first = t.ID
						}
						return s.Add(ctx, t)
					},
					get: func(ctx context.Context, id string) (tasks.Task, error) {
						mu.Lock()
						defer mu.Unlock()
						got, err := s.Get(ctx, first)
						got.ID = id
						return got, err
					},
				}
			},
			"many may add and get at once",
		},
		{
			"hands out what it keeps",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var mu sync.Mutex
				kept := map[string]tasks.Task{}
				return liar{Store: s, get: func(ctx context.Context, id string) (tasks.Task, error) {
					mu.Lock()
					defer mu.Unlock()
					got, err := s.Get(ctx, id)
					if old, ok := kept[id]; ok && old.State == got.State {
						return old, nil
					}
					kept[id] = got
					return got, err
				}}
			},
			"what is kept belongs to the store",
		},
		{
			"keeps what it is handed",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var mu sync.Mutex
				roles := map[string][]string{}
				return liar{
					Store: s,
					add: func(ctx context.Context, t tasks.Task) error {
						mu.Lock()
						defer mu.Unlock()
						roles[t.ID] = t.Roles
						return s.Add(ctx, t)
					},
					get: func(ctx context.Context, id string) (tasks.Task, error) {
						mu.Lock()
						defer mu.Unlock()
						got, err := s.Get(ctx, id)
						got.Roles = slices.Clone(roles[id])
						return got, err
					},
				}
			},
			"what is kept belongs to the store",
		},
		{
			"accepts without end",
			func(testing.TB, tasks.Store) tasks.Store { return tasks.NewMemory(tasks.MemoryOptions{}) },
			"a full store accepts no more until there is room",
		},
		{
			"is full for ever",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var full atomic.Bool
				return liar{Store: s, add: func(ctx context.Context, t tasks.Task) error {
					if full.Load() {
						return tasks.ErrFull
					}
					err := s.Add(ctx, t)
					full.Store(errors.Is(err, tasks.ErrFull))
					return err
				}}
			},
			"a full store accepts no more until there is room",
		},
		{
			"begins tasks although it is to stop",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					stopped, cancel := context.WithCancel(context.WithoutCancel(ctx))
					running := begin(stopped, s, w)
					<-ctx.Done()
					time.Sleep(time.Second)
					cancel()
					return <-running
				}}
			},
			"a context that has ended makes no task unknown, and begins none",
		},
		{
			"does not wait for what was begun",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					begin(ctx, s, w)
					<-ctx.Done()
					return nil
				}}
			},
			"a stop waits for what was begun, and does not end it",
		},
		{
			"ends what was begun",
			working(func(run context.Context, w work) work {
				return func(_ context.Context, t tasks.Task) (tasks.Result, error) { return w(run, t) }
			}),
			"a stop waits for what was begun, and does not end it",
		},
		{
			"works with a context of its own",
			func(t testing.TB, s tasks.Store) tasks.Store {
				bare := t.Context()
				return working(func(_ context.Context, w work) work {
					return func(_ context.Context, t tasks.Task) (tasks.Result, error) { return w(bare, t) }
				})(t, s)
			},
			"the values of a context reach the work",
		},
		{
			"goes on after a stop",
			func(t testing.TB, s tasks.Store) tasks.Store {
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					begin(t.Context(), s, w)
					<-ctx.Done()
					return nil
				}}
			},
			"what is added after a stop waits for the next run",
		},
		{
			"runs once only",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var ran atomic.Bool
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					if ran.Swap(true) {
						<-ctx.Done()
						return nil
					}
					return s.Run(ctx, w)
				}}
			},
			"what is added after a stop waits for the next run",
		},
		{
			"works ended tasks again when it starts again",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var mu sync.Mutex
				var done []tasks.Task
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					mu.Lock()
					again := slices.Clone(done)
					mu.Unlock()
					for _, t := range again {
						_, _ = w(ctx, t)
					}
					return s.Run(ctx, func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
						mu.Lock()
						done = append(done, t)
						mu.Unlock()
						return w(ctx, t)
					})
				}}
			},
			"a task that has ended stays so",
		},
		{
			"has each run work every task",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
					_, _ = w(ctx, t)
					return w(ctx, t)
				}
			}),
			"of several runs one works a task",
		},
		{
			"works one task after the other",
			func(t testing.TB, s tasks.Store) tasks.Store {
				free := make(chan struct{}, 1)
				return working(func(_ context.Context, w work) work {
					return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
						free <- struct{}{}
						defer func() { <-free }()
						return w(ctx, t)
					}
				})(t, s)
			},
			"work that hangs holds up no other",
		},
		{
			"does not count attempts",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				got.Attempt = 0
				return got, err
			}),
			"work that fails ends its task with the reason",
		},
		{
			"tries again what cannot succeed",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				var attempts sync.Map
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					return s.Run(ctx, func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
						result, err := w(ctx, t)
						if err != nil {
							attempts.Store(t.ID, 2)
							result, err = w(ctx, t)
						}
						return result, err
					})
				}, get: func(ctx context.Context, id string) (tasks.Task, error) {
					got, err := s.Get(ctx, id)
					if n, ok := attempts.Load(id); ok {
						got.Attempt = n.(int)
					}
					return got, err
				}}
			},
			"work that fails ends its task with the reason",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := slices.IndexFunc(rules(), func(r rule) bool { return r.name == c.broken })
			require.GreaterOrEqual(t, at, 0, "there is such a rule")
			r := rules()[at]
			require.False(t, breaks(t, r, honest()), "an honest store keeps it")
			assert.True(t, breaks(t, r, Harness{Open: func(t testing.TB, capacity int) func() tasks.Store {
				s := c.turn(t, honest().Open(t, capacity)())
				return func() tasks.Store { return s }
			}}), "it notices")
		})
	}
}

// A store that tries each task once does not pass for one that tries again.
func TestSuiteRefusesAStoreThatDoesNotTryAgain(t *testing.T) {
	at := slices.IndexFunc(rules(), func(r rule) bool { return strings.HasPrefix(r.name, "work that fails for now") })
	h := honest()
	require.False(t, breaks(t, rules()[at], h))
	h.Retries = true
	assert.True(t, breaks(t, rules()[at], h))
}

// breaks reports whether a store breaks a rule. Its clock jumps ahead whenever all wait, so that
// patience costs nothing.
func breaks(t *testing.T, r rule, h Harness) bool {
	t.Helper()
	var failed atomic.Bool
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		go func() { // FailNow ends the goroutine
			defer close(done)
			r.check(recorder{t, &failed}, h)
		}()
		<-done
	})
	return failed.Load()
}

// A recorder is a testing.TB that keeps failures to itself.
type recorder struct {
	testing.TB
	failed *atomic.Bool
}

func (r recorder) Errorf(string, ...any) { r.failed.Store(true) }

func (r recorder) FailNow() {
	r.failed.Store(true)
	runtime.Goexit()
}
