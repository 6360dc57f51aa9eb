package storage

import "time"

// A Clock is a Store whose service has a clock of its own. As finds it, also behind a wrapper.
type Clock interface {
	// Skew returns how far the service's clock is ahead of the clock of this machine, by the time
	// that its newest answer bore; it is negative if the service's is behind. It is not known
	// before the first answer.
	Skew() (ahead time.Duration, known bool)
}
