package storagetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"github.com/tufonline/tufonline/storage"
	"github.com/tufonline/tufonline/storage/bucketstore"
	"github.com/tufonline/tufonline/storage/storagetest"
)

// A liar is a store that breaks a promise.
type liar struct {
	rule      string // of the suite, that has to find it
	unprobed  bool   // storage.Probe cannot
	parallel  bool   // it lies only to those who run at the very same time
	underTest func(t *testing.T) (open func() storage.Store)
}

func liars() map[string]liar {
	return map[string]liar{
		"ignores every condition": {
			rule: "create does not overwrite",
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				return w.at(s, current(s, w.key))
			}),
		},
		"looks, and then writes": {
			rule: "of racing creates one wins",
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				if current(s, w.key) != w.old {
					return w.at(s, w.old) // which refuses
				}
				for range 100 {
					runtime.Gosched()
				}
				return w.at(s, current(s, w.key))
			}),
		},
		"replaces what does not exist": {
			rule: "replace swaps the version it was given, and no other",
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				if current(s, w.key) == storage.Absent {
					w.old = storage.Absent
				}
				return w.at(s, w.old)
			}),
		},
		"says that it wrote, and does not": {
			rule:      "what is written is read, by every handle",
			underTest: writes(func(storage.Store, write) (storage.Version, error) { return "1", nil }),
		},
		"lands late": {
			rule:     "a write that was given up does not land over a later one",
			unprobed: true,
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				runtime.Gosched()
				if w.ctx.Err() == nil || current(s, w.key) != w.old {
					return w.at(s, w.old)
				}
				late := context.WithoutCancel(w.ctx)
				go func() {
					for range 100 {
						runtime.Gosched()
					}
					_, _ = s.Replace(late, w.key, current(s, w.key), w.data)
				}()
				return storage.Absent, w.ctx.Err()
			}),
		},
		"refuses everybody": {
			rule:      "of racing creates one wins",
			underTest: writes(func(_ storage.Store, w write) (storage.Version, error) { return storage.Absent, w.refusal }),
		},
		"refuses the same bytes": {
			rule: "a write whose answer was lost can be repeated",
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				if current(s, w.key) != w.old {
					return storage.Absent, w.refusal
				}
				return w.at(s, w.old)
			}),
		},
		"gives no version": {
			rule: "what is written is read, by every handle",
			underTest: writes(func(s storage.Store, w write) (storage.Version, error) {
				_, err := w.at(s, w.old)
				return storage.Absent, err
			}),
		},
		"is gocloud's file bucket, without a lock": {
			rule:      "of racing creates one wins",
			parallel:  true,
			underTest: func(t *testing.T) func() storage.Store { return always(&unlocked{files(t)}) },
		},
		"has another lock for each handle": {
			rule:     "of racing replaces one wins",
			unprobed: true,
			underTest: func(t *testing.T) func() storage.Store {
				b := files(t)
				return func() storage.Store { return bucketstore.New(b, bucketstore.Options{}) }
			},
		},
		"reads what was there before": {
			rule:     "readers see one write or another",
			unprobed: true,
			underTest: func(*testing.T) func() storage.Store {
				return always(&stale{Store: storage.NewMemory(storage.MemoryOptions{})})
			},
		},
		"reads half of a write": {
			rule: "objects may be empty or large",
			underTest: func(*testing.T) func() storage.Store {
				return always(&half{storage.NewMemory(storage.MemoryOptions{})})
			},
		},
	}
}

const tries = 500 // for a lie that shows in a race only, and may stay hidden for long on a busy machine

// needsProcessors skips a lie that one processor hides for good: there, a look and the write after
// it are not interrupted.
func needsProcessors(t *testing.T, l liar) {
	if l.parallel && runtime.GOMAXPROCS(0) < 2 {
		t.Skip("SKIPPED: it takes two processors to catch this one")
	}
}

func TestProbeRefusesLiars(t *testing.T) {
	for name, liar := range liars() {
		if liar.unprobed {
			continue
		}
		t.Run(name, func(t *testing.T) {
			needsProcessors(t, liar)
			s := liar.underTest(t)()
			for range tries {
				if err := storage.Probe(t.Context(), s, storage.ProbeOptions{Prefix: "scratch/"}); err != nil {
					require.ErrorIs(t, err, storage.ErrNoAtomicWrites)
					return
				}
			}
			t.Fatal("the probe believed it each time")
		})
	}
}

// theLiar makes this test binary run the suite on a liar, which has to fail.
const theLiar = "STORAGETEST_LIAR"

func TestSuiteRefusesLiars(t *testing.T) {
	for name, liar := range liars() {
		t.Run(name, func(t *testing.T) {
			needsProcessors(t, liar)
			suite := exec.CommandContext(t.Context(), os.Args[0],
				"-test.run=^TestLiar$/^"+liar.rule+"$", "-test.failfast", "-test.count="+strconv.Itoa(tries))
			suite.Env = append(os.Environ(), theLiar+"="+name)
			out, err := suite.CombinedOutput()
			require.Error(t, err, "the suite believed it each time: %s", out)
			assert.Contains(t, string(out), "--- FAIL: TestLiar/")
		})
	}
}

func TestLiar(t *testing.T) {
	liar, ok := liars()[os.Getenv(theLiar)]
	if !ok {
		t.Skip("this is what TestSuiteRefusesLiars runs with a liar")
	}
	storagetest.Run(t, func(t *testing.T, _ int64) func() storage.Store { return liar.underTest(t) })
}

func always(s storage.Store) func() storage.Store { return func() storage.Store { return s } }

func files(t *testing.T) *blob.Bucket {
	b, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true})
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// A write is a call of Create, where old is Absent, or Replace.
type write struct {
	ctx     context.Context
	key     string
	old     storage.Version
	data    []byte
	refusal error
}

// at makes the write, honestly, where s holds a version.
func (w write) at(s storage.Store, version storage.Version) (storage.Version, error) {
	written, err := s.Replace(w.ctx, w.key, version, w.data)
	if errors.Is(err, storage.ErrConflict) {
		err = w.refusal
	}
	return written, err
}

func current(s storage.Store, key string) storage.Version {
	object, _ := s.Get(context.Background(), key)
	return object.Version
}

// writes is a memory whose writes go their own way.
func writes(lie func(s storage.Store, w write) (storage.Version, error)) func(*testing.T) func() storage.Store {
	return func(*testing.T) func() storage.Store {
		return always(&writer{storage.NewMemory(storage.MemoryOptions{}), lie})
	}
}

type writer struct {
	storage.Store
	lie func(s storage.Store, w write) (storage.Version, error)
}

func (l *writer) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	return l.lie(l.Store, write{ctx, key, storage.Absent, data, storage.ErrExists})
}

func (l *writer) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	return l.lie(l.Store, write{ctx, key, old, data, storage.ErrConflict})
}

// unlocked leaves "if it does not exist" to gocloud, whose file buckets do not keep it in a race.
type unlocked struct{ bucket *blob.Bucket }

func (u *unlocked) Get(ctx context.Context, key string) (storage.Object, error) {
	return bucketstore.New(u.bucket, bucketstore.Options{}).Get(ctx, key)
}

func (u *unlocked) Create(ctx context.Context, key string, data []byte) (storage.Version, error) {
	err := u.bucket.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: true})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return bucketstore.New(u.bucket, bucketstore.Options{}).Create(ctx, key, data)
	}
	if err != nil {
		return storage.Absent, err
	}
	object, err := u.Get(ctx, key)
	return object.Version, err
}

func (u *unlocked) Replace(ctx context.Context, key string, old storage.Version, data []byte) (storage.Version, error) {
	return bucketstore.New(u.bucket, bucketstore.Options{}).Replace(ctx, key, old, data)
}

// stale answers every other read with what the one before it returned.
type stale struct {
	storage.Store
	mu     sync.Mutex
	reads  int
	before storage.Object
}

func (s *stale) Get(ctx context.Context, key string) (storage.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads++; s.reads%2 == 0 && s.before.Version != storage.Absent {
		return s.before, nil
	}
	object, err := s.Store.Get(ctx, key)
	s.before = object
	return object, err
}

// half does not read to the end.
type half struct{ storage.Store }

func (h *half) Get(ctx context.Context, key string) (storage.Object, error) {
	object, err := h.Store.Get(ctx, key)
	object.Data = object.Data[:len(object.Data)/2]
	return object, err
}
