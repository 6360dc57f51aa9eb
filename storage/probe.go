package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	probeRounds  = 4
	probeWriters = 8
	probeCleanup = 10 * time.Second // for deleting what a probe made
)

// ProbeOptions are optional.
type ProbeOptions struct {
	Prefix string // comes before the keys of all scratch objects: "scratch/"
}

// Probe tries out whether s keeps its promises. A deployment should probe storage that is new to it
// before it trusts that storage.
//
// Many writers race for scratch objects. Each time exactly one has to win, all others have to be
// told so, and a read has to return the winner's bytes. If a promise was broken, the error wraps
// ErrNoAtomicWrites and says what was seen. A call that failed is another error, since it proves
// nothing.
//
// A probe sees only the writers of this process, and only the moments that they hit. Passing is
// good evidence, and no proof. Probe deletes its scratch objects if s is a Deleter that may delete;
// those that stay do no harm.
func Probe(ctx context.Context, s Store, opts ProbeOptions) error {
	scratch := opts.Prefix + "probe-" + rand.Text()
	if err := CheckKey(scratch); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for round := range probeRounds {
		p := probe{s, fmt.Sprintf("%s-%d", scratch, round+1)}
		err := p.run(ctx)
		p.cleanUp(ctx)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
	}
	return nil
}

// A probe is one round.
type probe struct {
	store Store
	key   string
}

func (p probe) missing() string { return p.key + "-missing" }
func (p probe) first() string   { return p.key + "-first" }

func (p probe) run(ctx context.Context) error {
	created, err := p.raceToCreate(ctx)
	if err != nil {
		return err
	}
	if err := p.replaceMissing(ctx, created.Version); err != nil {
		return err
	}
	if err := p.raceToReplace(ctx, created.Version); err != nil {
		return err
	}
	return p.raceToBeFirst(ctx)
}

func (p probe) raceToCreate(ctx context.Context) (Object, error) {
	if err := p.holdsNothing(ctx, p.key); err != nil {
		return Object{}, err
	}
	winner, err := race("create", p.key, ErrExists, func(data []byte) (Version, error) {
		return p.store.Create(ctx, p.key, data)
	})
	if err != nil {
		return Object{}, err
	}
	_, err = p.store.Create(ctx, p.key, winner.Data)
	if err := expect(err, nil, "create "+p.key+" again with the same bytes"); err != nil {
		return Object{}, err
	}
	_, err = p.store.Create(ctx, p.key, []byte("too late"))
	if err := expect(err, ErrExists, "create "+p.key+" again with other bytes"); err != nil {
		return Object{}, err
	}
	return winner, p.holds(ctx, p.key, winner)
}

func (p probe) replaceMissing(ctx context.Context, version Version) error {
	_, err := p.store.Replace(ctx, p.missing(), version, []byte("replaces nothing"))
	if err := expect(err, ErrConflict, "replace "+p.missing()+", which does not exist"); err != nil {
		return err
	}
	return p.holdsNothing(ctx, p.missing())
}

func (p probe) raceToReplace(ctx context.Context, old Version) error {
	winner, err := race("replace", p.key, ErrConflict, func(data []byte) (Version, error) {
		return p.store.Replace(ctx, p.key, old, data)
	})
	if err != nil {
		return err
	}
	_, err = p.store.Replace(ctx, p.key, old, winner.Data)
	if err := expect(err, nil, "replace "+p.key+" again with the same bytes"); err != nil {
		return err
	}
	_, err = p.store.Replace(ctx, p.key, old, []byte("too late"))
	if err := expect(err, ErrConflict, "replace a version of "+p.key+" that is gone"); err != nil {
		return err
	}
	return p.holds(ctx, p.key, winner)
}

func (p probe) raceToBeFirst(ctx context.Context) error {
	winner, err := race("replace", p.first(), ErrConflict, func(data []byte) (Version, error) {
		return p.store.Replace(ctx, p.first(), Absent, data)
	})
	if err != nil {
		return err
	}
	return p.holds(ctx, p.first(), winner)
}

// race starts writers that all want to write their own bytes at the same moment, and returns what
// the one that won has written.
func race(verb, key string, refusal error, write func(data []byte) (Version, error)) (Object, error) {
	type attempt struct {
		Object
		err error
	}
	attempts := make([]attempt, probeWriters)
	start := make(chan struct{})
	var writers sync.WaitGroup
	for i := range attempts {
		a := &attempts[i]
		a.Data = fmt.Appendf(nil, "%s %s: writer %d of %d", verb, key, i+1, probeWriters)
		writers.Go(func() {
			<-start
			a.Version, a.err = write(a.Data)
		})
	}
	close(start)
	writers.Wait()

	var winners []Object
	var failed error
	for _, a := range attempts {
		if a.err == nil {
			winners = append(winners, a.Object)
		} else if failed == nil {
			failed = expect(a.err, refusal, verb+" "+key+" in a race")
		}
	}
	if len(winners) > 1 {
		return Object{}, breach("%d of %d racing writers were told that they won: %s %s", len(winners), probeWriters, verb,
			key)
	}
	if failed != nil {
		return Object{}, failed
	}
	if len(winners) == 0 {
		return Object{}, breach("none of %d racing writers won: %s %s", probeWriters, verb, key)
	}
	if winners[0].Version == Absent {
		return Object{}, breach("a write that succeeded returned no version: %s %s", verb, key)
	}
	return winners[0], nil
}

func (p probe) holds(ctx context.Context, key string, want Object) error {
	got, err := p.store.Get(ctx, key)
	if err := expect(err, nil, "get "+key+", which was written"); err != nil {
		return err
	}
	if !bytes.Equal(got.Data, want.Data) {
		return breach("%s holds %q where %q was the last write that succeeded", key, got.Data, want.Data)
	}
	if got.Version != want.Version {
		return breach("%s has version %q where the write returned %q", key, got.Version, want.Version)
	}
	return nil
}

func (p probe) holdsNothing(ctx context.Context, key string) error {
	_, err := p.store.Get(ctx, key)
	return expect(err, ErrNotFound, "get "+key+", which was not written")
}

// cleanUp leaves behind what it cannot delete: signing needs no right to delete, so a deployment
// need not have one.
func (p probe) cleanUp(ctx context.Context) {
	d, ok := As[Deleter](p.store)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeCleanup)
	defer cancel()
	for _, key := range []string{p.key, p.missing(), p.first()} {
		_ = d.Delete(ctx, key)
	}
}

// expect is nil if a call ended as wanted, a breach if the store gave another answer, and otherwise
// the call's own error: it gave none.
func expect(got, want error, call string) error {
	switch {
	case errors.Is(got, want):
		return nil
	case got == nil:
		return breach("it was not refused: %s", call)
	case errors.Is(got, ErrExists), errors.Is(got, ErrConflict), errors.Is(got, ErrNotFound):
		return breach("%s: answered %q", call, got)
	default:
		return fmt.Errorf("%s: %w", call, got)
	}
}

func breach(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNoAtomicWrites, fmt.Sprintf(format, args...))
}
