package tufupdate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/tasks"
)

// A combiner lets one roll of an app run at a time. Requests that come meanwhile gather, and the
// next roll serves them all. Apps do not wait for one another. An idle app costs nothing.
type combiner struct {
	roll    func(ctx context.Context, app string, roles []string) (tasks.Result, error)
	timeout time.Duration // of a roll, and of the rolls of a batch that is taken apart together

	mu   sync.Mutex
	next map[string]*batch // by app, while its goroutine lives: the batch that gathers, or nil
}

// A batch is requests that one roll serves.
type batch struct {
	ctx      context.Context
	cancel   context.CancelFunc
	requests []*request
	waiting  int // requests whose callers have not left
	done     chan struct{}
}

type request struct {
	roles   []string
	suspect bool // it has failed before
	left    bool // its caller has left
	result  tasks.Result
	err     error
}

// do rolls the roles of app, together with those of other callers. It returns early if ctx ends.
// The roll ends when all callers have left. A suspect request has failed before, and may take long
// to fail again: it does not hold up the others.
func (c *combiner) do(ctx context.Context, app string, roles []string, suspect bool) (tasks.Result, error) {
	req := &request{roles: roles, suspect: suspect}
	b := c.join(ctx, app, req)
	select {
	case <-b.done:
		return req.result, req.err
	case <-ctx.Done():
		c.leave(app, b, req)
		return tasks.Result{}, context.Cause(ctx)
	}
}

func (c *combiner) join(ctx context.Context, app string, req *request) *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, running := c.next[app]
	if b == nil {
		b = &batch{done: make(chan struct{})}
		// The roll belongs to all its callers, so it must not end with the first one.
		b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.next[app] = b
	}
	b.requests = append(b.requests, req)
	b.waiting++
	if !running {
		go c.work(app)
	}
	return b
}

func (c *combiner) allLeft(requests []*request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(requests, func(r *request) bool { return !r.left })
}

func (c *combiner) leave(app string, b *batch, req *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	req.left = true
	if b.waiting--; b.waiting == 0 {
		b.cancel()
		if c.next[app] == b { // it gathers still, and must not gain callers any more
			c.next[app] = nil
		}
	}
}

// work rolls an app until there are no more requests.
func (c *combiner) work(app string) {
	for {
		c.mu.Lock()
		b := c.next[app]
		if b == nil {
			delete(c.next, app)
			c.mu.Unlock()
			return
		}
		c.next[app] = nil
		c.mu.Unlock()
		c.serve(app, b)
	}
}

// serve rolls the roles of a batch together, but for those of suspects. If that fails, and the
// requests differ, each kind of request gets a roll of its own: one request must not fail because
// of another. These rolls share the time of one, so that later requests need not wait for ever.
// Requests for top-level roles come first. The others come in random order, so that time does not
// always run out for the same ones.
func (c *combiner) serve(app string, b *batch) {
	defer close(b.done)
	defer b.cancel()
	kinds, suspects := map[string][]*request{}, map[string][]*request{}
	var union []string
	for _, req := range b.requests {
		kind := fmt.Sprintf("%q", req.roles)
		if req.suspect && len(b.requests) > 1 {
			suspects[kind] = append(suspects[kind], req)
			continue
		}
		kinds[kind] = append(kinds[kind], req)
		union = append(union, req.roles...)
	}
	if len(kinds) > 0 {
		slices.Sort(union)
		ctx, cancel := c.limit(b.ctx)
		defer cancel()
		result, err := c.roll(ctx, app, slices.Compact(union))
		if err == nil || len(kinds) == 1 {
			settle(slices.Concat(slices.Collect(maps.Values(kinds))...), result, err)
			kinds = nil
		}
	}
	ctx, cancel := c.limit(b.ctx)
	defer cancel()
	for _, requests := range slices.Concat(topFirst(kinds), topFirst(suspects)) {
		if c.allLeft(requests) {
			continue
		}
		if ctx.Err() != nil {
			settle(requests, tasks.Result{}, fmt.Errorf("no time was left after other requests: %w", context.Cause(ctx)))
			continue
		}
		result, err := c.roll(ctx, app, requests[0].roles)
		settle(requests, result, err)
	}
}

func (c *combiner) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	late := fmt.Errorf("a roll may take %v: %w", c.timeout, context.DeadlineExceeded)
	return context.WithTimeoutCause(ctx, c.timeout, late)
}

// topFirst returns kinds of requests, those that ask for top-level roles alone before the others,
// in an order that is different each time.
func topFirst(kinds map[string][]*request) [][]*request {
	var top, others [][]*request
	for _, requests := range kinds {
		if slices.ContainsFunc(requests[0].roles, published.IsDelegated) {
			others = append(others, requests)
		} else {
			top = append(top, requests)
		}
	}
	return append(top, others...)
}

func settle(requests []*request, result tasks.Result, err error) {
	for _, req := range requests {
		req.result, req.err = result, err
		req.result.Roles = slices.Clone(result.Roles)
		req.result.Versions = maps.Clone(result.Versions)
		req.result.Warnings = slices.Clone(result.Warnings)
	}
}
