package tasks_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tufonline/tufonline/tasks"
)

func TestPausesDoubleFromASecondToFiveMinutes(t *testing.T) {
	for attempt, about := range map[int]time.Duration{
		math.MinInt: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second,
		8: 128 * time.Second, 9: 4 * time.Minute, 100: 4 * time.Minute, math.MaxInt: 4 * time.Minute,
	} {
		for range 100 {
			assert.InDelta(t, about, tasks.Pause(attempt), float64(about/10), "attempt %d", attempt)
		}
	}
}
