package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
)

// A probe is one part, with a key of its own.
type probe struct {
	store Store
	key   string
}

// missing is a key beside another one, at which nothing is.
func missing(key string) string { return key + "-missing" }

func (p probe) raceToCreate(ctx context.Context) error {
	if err := p.holdsNothing(ctx, p.key); err != nil {
		return err
	}
	winner, err := race("create", p.key, ErrExists, func(data []byte) (Version, error) {
		return p.store.Create(ctx, p.key, data)
	})
	if err == nil {
		err = p.createAgain(ctx, winner)
	}
	if err = p.remains(ctx, winner, err); err != nil {
		return err
	}
	_, err = p.store.Replace(ctx, missing(p.key), winner.Version, []byte("replaces nothing"))
	return worst(expect(err, ErrConflict, "replace "+missing(p.key)+", which does not exist"),
		p.holdsNothing(ctx, missing(p.key)))
}

func (p probe) createAgain(ctx context.Context, winner Object) error {
	_, err := p.store.Create(ctx, p.key, winner.Data)
	if err := expect(err, nil, "create "+p.key+" again with the same bytes"); err != nil {
		return err
	}
	_, err = p.store.Create(ctx, p.key, []byte("too late"))
	return expect(err, ErrExists, "create "+p.key+" again with other bytes")
}

func (p probe) raceToReplace(ctx context.Context) error {
	old, err := p.store.Create(ctx, p.key, []byte("to be replaced"))
	if err := expect(err, nil, "create "+p.key); err != nil {
		return err
	}
	winner, err := race("replace", p.key, ErrConflict, func(data []byte) (Version, error) {
		return p.store.Replace(ctx, p.key, old, data)
	})
	if err == nil {
		err = p.replaceAgain(ctx, old, winner)
	}
	return p.remains(ctx, winner, err)
}

func (p probe) replaceAgain(ctx context.Context, old Version, winner Object) error {
	_, err := p.store.Replace(ctx, p.key, old, winner.Data)
	if err := expect(err, nil, "replace "+p.key+" again with the same bytes"); err != nil {
		return err
	}
	_, err = p.store.Replace(ctx, p.key, old, []byte("too late"))
	return expect(err, ErrConflict, "replace a version of "+p.key+" that is gone")
}

func (p probe) raceToBeFirst(ctx context.Context) error {
	winner, err := race("replace", p.key, ErrConflict, func(data []byte) (Version, error) {
		return p.store.Replace(ctx, p.key, Absent, data)
	})
	return p.remains(ctx, winner, err)
}

// remains checks that what the winner of a race has written is still there, also if another call
// failed with err: once one writer has won, no other write may land. Without a winner it returns
// err.
func (p probe) remains(ctx context.Context, winner Object, err error) error {
	if winner.Data == nil || errors.Is(err, ErrNoAtomicWrites) {
		return err
	}
	return worst(err, p.holds(ctx, winner))
}

// worst returns the first breach, or else the first error.
func worst(errs ...error) (worst error) {
	for _, err := range errs {
		if errors.Is(err, ErrNoAtomicWrites) {
			return err
		}
		worst = cmp.Or(worst, err)
	}
	return worst
}

// race starts writers that all want to write their own bytes at the same moment, and returns what
// the one that won has written. It does so too if it returns an error, unless no writer won.
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
			continue
		}
		err := expect(a.err, refusal, verb+" "+key+" in a race")
		if failed == nil || errors.Is(err, ErrNoAtomicWrites) {
			failed = err
		}
	}
	if len(winners) > 1 {
		return Object{}, breach("%d of %d racing writers were told that they won: %s %s", len(winners), probeWriters, verb,
			key)
	}
	if len(winners) == 0 && failed != nil {
		return Object{}, failed
	}
	if len(winners) == 0 {
		return Object{}, breach("none of %d racing writers won: %s %s", probeWriters, verb, key)
	}
	if winners[0].Version == Absent {
		return Object{}, breach("a write that succeeded returned no version: %s %s", verb, key)
	}
	return winners[0], failed
}

func (p probe) holds(ctx context.Context, want Object) error {
	got, err := p.store.Get(ctx, p.key)
	if err := expect(err, nil, "get "+p.key+", which was written"); err != nil {
		return err
	}
	if !bytes.Equal(got.Data, want.Data) {
		return breach("%s holds %q where %q was the last write that succeeded", p.key, got.Data, want.Data)
	}
	if got.Version != want.Version {
		return breach("%s has version %q where the write returned %q", p.key, got.Version, want.Version)
	}
	return nil
}

func (p probe) holdsNothing(ctx context.Context, key string) error {
	_, err := p.store.Get(ctx, key)
	return expect(err, ErrNotFound, "get "+key+", which was not written")
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
