package riversqlite_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tasks/rivertasks"
)

// cancelled has the metadata say what River's JobCancel says of a job that runs.
const cancelled = `UPDATE river_job SET metadata = jsonb_set(metadata, '$.cancel_attempted_at', '2026-01-01T00:00:00Z')`

// River tells the worker at once, if it can. Otherwise the row alone says so.
func TestATaskThatWasCancelledWhileItRanIsNotTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		ends  error
		state tasks.State
		says  string
	}{
		"a failure for now ends it":   {tasks.Temporary(errors.New("store is down")), tasks.StateFailure, "store is down"},
		"a failure for good ends it":  {errors.New("no key"), tasks.StateFailure, "no key"},
		"what it has done stays done": {nil, tasks.StateSuccess, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path, rivertasks.Options{})
			run(t, s, func(context.Context, tasks.Task) (tasks.Result, error) {
				statement(t, path, cancelled)
				return tasks.Result{}, test.ends
			})
			got := await(t, s, add(t, s), patience)
			assert.Equal(t, test.state, got.State)
			assert.Equal(t, test.says, got.Result.Error)
			assert.Equal(t, 1, got.Attempt)
		})
	}
}

func TestATaskThatWasCancelledWhileItWaitedSaysSo(t *testing.T) {
	path := newPath(t)
	s := open(t, path, rivertasks.Options{})
	id := add(t, s)
	statement(t, path, `UPDATE river_job SET state = 'cancelled', finalized_at = datetime('now', 'subsec')`)
	got := await(t, s, id, time.Second)
	assert.Equal(t, tasks.StateFailure, got.State)
	assert.Equal(t, tasks.Result{Error: "it was cancelled", Code: tasks.CodeCancelled}, got.Result)
}
