package rivertasks

import (
	"context"
	"slices"
	"sync"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/tasks"
)

var _ tasks.Elector = (*Store)(nil)

// Leads implements tasks.Elector. A process in which no Run is active does not lead.
//
// River elects. The first process leads within a few seconds of its Run. When the leader's Run
// ends, another process leads within about ten seconds. When the leader dies or loses the database,
// its term ends 15 seconds after it was last extended, and another process leads within about 25
// seconds. A leader that loses the database stops leading within 15 seconds.
func (s *Store) Leads() bool { return s.terms.hold() }

// terms are the times in which a client of this process leads in River. Several Runs may be active.
type terms struct {
	mu   sync.Mutex
	list []context.Context // each ends when its term does
}

// hook returns a hook that River calls when one of its clients begins to lead. The context is that
// of the service that inserts periodic jobs, which only the leader has.
func (t *terms) hook() rivertype.Hook {
	return river.HookPeriodicJobsStartFunc(func(ctx context.Context, _ *rivertype.HookPeriodicJobsStartParams) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.list = append(slices.DeleteFunc(t.list, over), ctx)
		return nil
	})
}

// hold reports whether a term lasts.
func (t *terms) hold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, over)
	return len(t.list) > 0
}

func over(ctx context.Context) bool { return ctx.Err() != nil }
