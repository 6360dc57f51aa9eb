package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

const (
	probeRounds  = 4
	probeWriters = 8
	probeLimit   = 10 * time.Second // of each call
	probeCleanup = 10 * time.Second // for deleting what a probe made

	probePause    = 100 * time.Millisecond // after a failure; doubles each time in a row
	probeMaxPause = 10 * time.Second
)

// ProbeOptions are optional.
type ProbeOptions struct {
	Prefix string // comes before the keys of all scratch objects: "scratch/"

	// Waiting, if not nil, is called with the reason each time a call failed and Probe will try
	// again. Probe calls it from its own goroutine.
	Waiting func(err error)
}

// Probe tries out whether s keeps its promises. A deployment should probe storage that is new to it
// before it trusts that storage.
//
// Many writers race for scratch objects. Each time exactly one has to win, all others have to be
// told so, and a read has to return the winner's bytes. If a promise was broken, the error wraps
// ErrNoAtomicWrites and says what was seen.
//
// A call that fails, or gets no answer within ten seconds, proves nothing. Probe then begins that
// part anew with another key, after pauses that grow to ten seconds. It goes on so until ctx ends.
// Then the error wraps the reason why ctx ended and the last failure. ErrInvalidKey and ErrTooLarge
// do not pass, and are returned at once.
//
// A probe sees only the writers of this process, and only the moments that they hit. Passing is
// good evidence, and no proof. Probe deletes its scratch objects if s is a Deleter that may delete;
// those that stay do no harm.
func Probe(ctx context.Context, s Store, opts ProbeOptions) error {
	p := &prober{store: limited{s}, scratch: opts.Prefix + "probe-" + rand.Text(), waiting: opts.Waiting}
	if err := CheckKey(p.scratch); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer p.cleanUp(ctx)
	for range probeRounds {
		for _, part := range []func(probe, context.Context) error{
			probe.raceToCreate, probe.raceToReplace, probe.raceToBeFirst,
		} {
			if err := p.prove(ctx, part); err != nil {
				return fmt.Errorf("probe: %w", err)
			}
		}
	}
	return nil
}

// A prober has parts of a probe run, each with a key of its own.
type prober struct {
	store   Store
	scratch string
	keys    []string // that may have been written
	waiting func(error)
}

// prove runs a part until all its calls are answered.
func (p *prober) prove(ctx context.Context, part func(probe, context.Context) error) error {
	for pause := probePause; ; pause = min(2*pause, probeMaxPause) {
		key := fmt.Sprintf("%s-%d", p.scratch, len(p.keys)+1)
		p.keys = append(p.keys, key)
		err := part(probe{p.store, key}, ctx)
		switch {
		case err == nil, errors.Is(err, ErrNoAtomicWrites), errors.Is(err, ErrInvalidKey), errors.Is(err, ErrTooLarge):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if p.waiting != nil {
			p.waiting(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// cleanUp leaves behind what it cannot delete: signing needs no right to delete, so a deployment
// need not have one.
func (p *prober) cleanUp(ctx context.Context) {
	d, ok := As[Deleter](p.store)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeCleanup)
	defer cancel()
	for _, key := range p.keys {
		_ = d.Delete(ctx, key)
		_ = d.Delete(ctx, missing(key))
	}
}

// limited is a store whose calls have a limit.
type limited struct{ Store }

// Unwrap is for As.
func (l limited) Unwrap() Store { return l.Store }

func (l limited) Get(ctx context.Context, key string) (Object, error) {
	return limit(ctx, func(ctx context.Context) (Object, error) { return l.Store.Get(ctx, key) })
}

func (l limited) Create(ctx context.Context, key string, data []byte) (Version, error) {
	return limit(ctx, func(ctx context.Context) (Version, error) { return l.Store.Create(ctx, key, data) })
}

func (l limited) Replace(ctx context.Context, key string, old Version, data []byte) (Version, error) {
	return limit(ctx, func(ctx context.Context) (Version, error) { return l.Store.Replace(ctx, key, old, data) })
}

func limit[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	late := fmt.Errorf("no answer within %v", probeLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, probeLimit, late)
	defer cancel()
	result, err := call(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) && !errors.Is(err, late) {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return result, err
}
