package tasks

import (
	"math/rand/v2"
	"time"
)

// DefaultMaxAttempts is how many attempts a task has in stores that try again. With the pauses
// between them, these take an hour.
const DefaultMaxAttempts = 20

const (
	firstPause = time.Second
	// longestPause is less than a round of the renewal, so that what has failed is done within a
	// round after the cure.
	longestPause = 4 * time.Minute
)

// Pause returns how long a store waits after a failed attempt until it begins the next one. attempt
// counts from 1. The pauses double from a second to four minutes. Each is a tenth longer or shorter
// by chance, so that tasks that failed together do not come back together.
func Pause(attempt int) time.Duration {
	doublings := min(max(attempt, 1)-1, 20)
	pause := min(firstPause<<doublings, longestPause)
	return pause - pause/10 + rand.N(pause/5)
}
