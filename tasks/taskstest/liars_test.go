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
	return Harness{Retries: true, Open: func(_ testing.TB, capacity int) func() tasks.Store {
		m := tasks.NewMemory(tasks.MemoryOptions{Capacity: capacity})
		return func() tasks.Store { return m }
	}}
}

// A liar is a Store with some methods replaced.
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

// adding returns a function that replaces Add of an honest store.
func adding(add func(ctx context.Context, s tasks.Store, t tasks.Task) error) func(testing.TB,
	tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, add: func(ctx context.Context, t tasks.Task) error { return add(ctx, s, t) }}
	}
}

// getting returns a function that replaces Get of an honest store.
func getting(get func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error)) func(testing.TB,
	tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, get: func(ctx context.Context, id string) (tasks.Task, error) { return get(ctx, s, id) }}
	}
}

// working returns a function that replaces the work of an honest store. run is the context of Run.
func working(change func(run context.Context, w work) work) func(testing.TB, tasks.Store) tasks.Store {
	return func(_ testing.TB, s tasks.Store) tasks.Store {
		return liar{Store: s, run: func(ctx context.Context, w work) error { return s.Run(ctx, change(ctx, w)) }}
	}
}

func TestSuiteRefusesLiars(t *testing.T) {
	for _, c := range []struct {
		name   string
		turn   func(testing.TB, tasks.Store) tasks.Store // turns an honest store into a liar
		broken string                                    // the rule that fails
	}{
		{
			"forgets accepted tasks",
			adding(func(context.Context, tasks.Store, tasks.Task) error { return nil }),
			"an accepted task is pending until a worker starts it",
		},
		{
			"forgets ended tasks",
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
			"forgets accepted versions",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				got.Result.Accepted = nil
				return got, err
			}),
			"a task is started while it is worked, and ends with its result",
		},
		{
			"forgets the code of an error",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				got.Result.Code = ""
				return got, err
			}),
			"work that fails ends its task with the reason",
		},
		{
			"forgets the code of an error that is tried again",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				got.Result.Code = ""
				return got, err
			}),
			"work that fails for now has another attempt if the store retries",
		},
		{
			"gives a panic no code",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if got.Result.Code == tasks.CodePanic {
					got.Result.Code = ""
				}
				return got, err
			}),
			"work that panics ends its task with the reason",
		},
		{
			"takes the end of a goroutine for a success",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (result tasks.Result, err error) {
					var working sync.WaitGroup
					working.Go(func() { result, err = w(ctx, t) })
					working.Wait()
					return result, err
				}
			}),
			"work that ends its goroutine ends its task",
		},
		{
			"shows an error code with a success",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if got.State == tasks.StateSuccess {
					got.Result.Code = "ignored"
				}
				return got, err
			}),
			"a task is started while it is worked, and ends with its result",
		},
		{
			"forgets ended tasks in the next run",
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
			"an ended task does not change",
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
			"a task that was not added is not found",
		},
		{
			"reports a failure as an absence",
			getting(func(ctx context.Context, s tasks.Store, id string) (tasks.Task, error) {
				got, err := s.Get(ctx, id)
				if err != nil {
					err = tasks.ErrNotFound
				}
				return got, err
			}),
			"with an ended context no task is unknown and none starts",
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
			"an accepted task is pending until a worker starts it",
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
			"hides a panic",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
					defer func() { _ = recover() }()
					return w(ctx, t)
				}
			}),
			"work that panics ends its task with the reason",
		},
		{
			"accepts an ID again",
			adding(func(ctx context.Context, s tasks.Store, t tasks.Task) error {
				if err := s.Add(ctx, t); !errors.Is(err, tasks.ErrExists) {
					return err
				}
				return nil
			}),
			"an ID is accepted once",
		},
		{
			"accepts an ID from racing adds",
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
			"returns the memory that it keeps",
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
			"the store shares no memory with its callers",
		},
		{
			"keeps the memory of its callers",
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
			"the store shares no memory with its callers",
		},
		{
			"accepts without end",
			func(testing.TB, tasks.Store) tasks.Store { return tasks.NewMemory(tasks.MemoryOptions{}) },
			"a full store accepts no task until another has ended",
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
			"a full store accepts no task until another has ended",
		},
		{
			"starts tasks after it was told to stop",
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
			"with an ended context no task is unknown and none starts",
		},
		{
			"does not wait for started tasks",
			func(_ testing.TB, s tasks.Store) tasks.Store {
				return liar{Store: s, run: func(ctx context.Context, w work) error {
					begin(ctx, s, w)
					<-ctx.Done()
					return nil
				}}
			},
			"a stop waits for started tasks and does not cancel them",
		},
		{
			"cancels started tasks",
			working(func(run context.Context, w work) work {
				return func(_ context.Context, t tasks.Task) (tasks.Result, error) { return w(run, t) }
			}),
			"a stop waits for started tasks and does not cancel them",
		},
		{
			"gives work another context",
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
			"a task that is added after a stop waits for the next run",
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
			"a task that is added after a stop waits for the next run",
		},
		{
			"works ended tasks again in the next run",
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
			"an ended task does not change",
		},
		{
			"has each run work every task",
			working(func(_ context.Context, w work) work {
				return func(ctx context.Context, t tasks.Task) (tasks.Result, error) {
					_, _ = w(ctx, t)
					return w(ctx, t)
				}
			}),
			"of several runs only one works a task",
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
			"work that hangs delays no other task",
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
			"tries work again that cannot succeed",
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
			require.GreaterOrEqual(t, at, 0, "the rule exists")
			r := rules()[at]
			require.False(t, breaks(t, r, honest()), "an honest store keeps the rule")
			assert.True(t, breaks(t, r, Harness{Retries: true, Open: func(t testing.TB, capacity int) func() tasks.Store {
				s := c.turn(t, honest().Open(t, capacity)())
				return func() tasks.Store { return s }
			}}), "the rule fails")
		})
	}
}

// A store with one attempt a task does not pass as one that retries.
func TestSuiteRefusesAStoreThatDoesNotTryAgain(t *testing.T) {
	at := slices.IndexFunc(rules(), func(r rule) bool { return strings.HasPrefix(r.name, "work that fails for now") })
	h := Harness{Open: func(testing.TB, int) func() tasks.Store {
		m := tasks.NewMemory(tasks.MemoryOptions{MaxAttempts: 1})
		return func() tasks.Store { return m }
	}}
	require.False(t, breaks(t, rules()[at], h))
	h.Retries = true
	assert.True(t, breaks(t, rules()[at], h))
}

// breaks reports whether a store breaks a rule. It runs in a synctest bubble, so that long waits
// cost nothing.
func breaks(t *testing.T, r rule, h Harness) bool {
	t.Helper()
	var failed atomic.Bool
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		go func() { // FailNow exits the goroutine
			defer close(done)
			r.check(recorder{t, &failed}, h)
		}()
		<-done
	})
	return failed.Load()
}

// A recorder is a testing.TB that records failures without reporting them.
type recorder struct {
	testing.TB
	failed *atomic.Bool
}

func (r recorder) Errorf(string, ...any) { r.failed.Store(true) }

func (r recorder) FailNow() {
	r.failed.Store(true)
	runtime.Goexit()
}
