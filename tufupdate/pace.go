package tufupdate

import (
	"context"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/tufonline/tufonline/storage"
)

// paced is a store that is read at a limited rate.
type paced struct {
	storage.Store
	limiter *rate.Limiter
}

// Unwrap is for storage.As.
func (p *paced) Unwrap() storage.Store { return p.Store }

func (p *paced) Get(ctx context.Context, key string) (storage.Object, error) {
	if err := p.limiter.Wait(ctx); err != nil {
		return storage.Object{}, err
	}
	return p.Store.Get(ctx, key)
}

// counted is a store whose reads are counted.
type counted struct {
	storage.Store
	requests *atomic.Int64
}

// Unwrap is for storage.As.
func (c *counted) Unwrap() storage.Store { return c.Store }

func (c *counted) Get(ctx context.Context, key string) (storage.Object, error) {
	c.requests.Add(1)
	return c.Store.Get(ctx, key)
}
