package rivertasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
)

// An Outcome is what an attempt came to, in the words of River's table river_job.
//
// River itself would write it to whichever attempt is running. A worker that stalled for longer
// than Options.Rescue and then goes on would end, or put off, the attempt of another worker. So an
// Outcome names its attempt, and nothing but [Database.Settle] writes outcomes. Attempt 1 may
// stall, and report at any time:
//
//   - before River's rescuer has seen the row, or before attempt 2 begins: the row is still its
//     own, and its outcome counts; if it ends the task, attempt 2 never begins
//   - while attempt 2 runs, or while a failed attempt 2 waits for the next one: the row is not its
//     own any more, and Settle changes nothing
//   - when the task has ended, be it by the rescuer after the last attempt: Settle changes nothing
//
// The answer of Settle may be lost, so it may be called again. If the first call changed the row,
// the second one changes nothing.
type Outcome struct {
	// These name the attempt. River counts a postponed attempt again under the same number, but
	// Begun differs.
	Row     int64     // column id
	Attempt int       // column attempt
	Begun   time.Time // column attempted_at, as River read it

	// State is completed, cancelled or discarded if the task has ended. Otherwise it is available,
	// and another attempt may begin after Pause, unless the job was cancelled meanwhile.
	State rivertype.JobState
	Pause time.Duration

	Attempts int    // the column attempt from now on
	Output   []byte // JSON for the member output of column metadata; if nil, that stays
	Error    []byte // JSON to append to column errors; if nil, that stays
}

// outcomeOf returns the outcome of an attempt whose work has returned. ctx is the work's.
func outcomeOf(ctx context.Context, row *rivertype.JobRow, result tasks.Result, err error) (Outcome, error) {
	o := Outcome{Row: row.ID, Attempt: row.Attempt, Begun: *row.AttemptedAt, Attempts: row.Attempt}
	result.Error, result.Code = "", ""
	if err != nil {
		result = tasks.Result{Error: err.Error(), Code: tasks.CodeOf(err)}
	}
	switch {
	case err == nil:
		o.State = rivertype.JobStateCompleted
	case !tasks.IsTemporary(err), errors.Is(context.Cause(ctx), rivertype.ErrJobCancelledRemotely):
		o.State = rivertype.JobStateCancelled
	case row.Attempt >= row.MaxAttempts:
		o.State = rivertype.JobStateDiscarded
	default:
		o.State, o.Pause = rivertype.JobStateAvailable, tasks.Pause(row.Attempt)
	}
	var failed error
	if o.Output, failed = encode(jsonform.Attempt{Number: row.Attempt, Result: jsonform.Result(result)}); failed != nil {
		return Outcome{}, failed
	}
	if err != nil { // for people and for River's tools; taskOf reads the output
		o.Error, failed = encode(rivertype.AttemptError{At: time.Now().UTC(), Attempt: row.Attempt, Error: err.Error()})
	}
	return o, failed
}

// postponed returns the outcome of an attempt that did not begin to work. It does not count.
func postponed(row *rivertype.JobRow, pause time.Duration) Outcome {
	return Outcome{
		Row: row.ID, Attempt: row.Attempt, Begun: *row.AttemptedAt,
		State: rivertype.JobStateAvailable, Pause: pause, Attempts: row.Attempt - 1,
	}
}

// encode returns JSON that both databases store. Postgres stores no NUL in JSON.
func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return bytes.ReplaceAll(data, []byte(`\u0000`), []byte(`\ufffd`)), err
}
