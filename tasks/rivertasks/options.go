package rivertasks

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/tufonline/tufonline/tasks"
)

// Options are optional.
type Options struct {
	// Workers is how many tasks a Run works at once. The tasks of one app take half of the workers
	// at most. The default is 100.
	Workers int

	// Rescue is the time after which a started task counts as lost with its worker. Another attempt
	// then begins. The context of the work ends an eighth of Rescue earlier, but at most 15
	// seconds. Work that ignores its context may run twice at once. River looks for lost tasks
	// every 30 seconds. The default is 15 minutes.
	Rescue time.Duration

	// MaxAttempts is how many attempts a task has. The default is tasks.DefaultMaxAttempts. The
	// pauses between them are those of tasks.Pause.
	MaxAttempts int

	// Quiet is how long the database has to work again before the log says that an outage is over.
	// The default is 90 seconds: in an outage River's elector pauses for up to 70.
	Quiet time.Duration

	// Logger gets a warning when the database begins to fail, a line when it answers again, and
	// what River says of single jobs. The rest of River's log is DEBUG. If nil, nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	o.Workers = cmp.Or(o.Workers, 100)
	o.Rescue = cmp.Or(o.Rescue, 15*time.Minute)
	o.Quiet = cmp.Or(o.Quiet, 90*time.Second)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, tasks.DefaultMaxAttempts)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Workers < 0 || o.Rescue < 0 || o.MaxAttempts < 0 {
		return o, errors.New("negative option")
	}
	return o, nil
}

// workLimit returns how long work may take. Work ends before the task counts as lost, so that no
// second attempt runs beside the first.
func (o Options) workLimit() time.Duration { return o.Rescue - o.margin() }

// margin is the time between the end of work and the task's loss.
func (o Options) margin() time.Duration { return min(o.Rescue/8, longestMargin) }

// longestMargin is the longest margin. It is enough to write the result.
const longestMargin = 15 * time.Second
