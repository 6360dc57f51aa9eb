package tufupdate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/published"
	"github.com/tufonline/tufonline/tasks"
)

func newCombiner(roll func(ctx context.Context, app string, roles []string) (tasks.Result, error)) *combiner {
	return &combiner{roll: roll, timeout: time.Minute, next: map[string]*batch{}}
}

func TestRequestsThatComeDuringARollShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rolls [][]string
		c := newCombiner(func(_ context.Context, _ string, roles []string) (tasks.Result, error) {
			time.Sleep(time.Second)
			rolls = append(rolls, roles) // one at a time, or the race detector speaks up
			return tasks.Result{Roles: roles, Versions: map[string]int64{"timestamp": int64(len(rolls))}}, nil
		})
		var group sync.WaitGroup
		request := func(want int64, roles ...string) {
			group.Go(func() {
				result, err := c.do(t.Context(), "app", roles, false)
				assert.NoError(t, err)
				assert.Equal(t, want, result.Versions["timestamp"])
			})
		}
		request(1, "snapshot")
		synctest.Wait()
		for range 500 {
			request(2, "timestamp")
			request(2, "snapshot", "targets")
		}
		group.Wait()
		assert.Equal(t, [][]string{{"snapshot"}, {"snapshot", "targets", "timestamp"}}, rolls)
		synctest.Wait()
		assert.Empty(t, c.next, "an app that nobody asks for is forgotten")
	})
}

func TestARequestIsNotLostWithThoseWhoHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCombiner(func(ctx context.Context, _ string, roles []string) (tasks.Result, error) {
			select {
			case <-time.After(time.Second):
				return tasks.Result{Roles: roles}, nil
			case <-ctx.Done():
				return tasks.Result{}, context.Cause(ctx)
			}
		})
		var group sync.WaitGroup
		group.Go(func() { _, err := c.do(t.Context(), "app", []string{"snapshot"}, false); assert.NoError(t, err) })
		synctest.Wait()
		impatient, leave := context.WithCancel(t.Context())
		// waits for the next roll
		group.Go(func() { _, err := c.do(impatient, "app", []string{"snapshot"}, false); assert.Error(t, err) })
		synctest.Wait()
		leave()
		synctest.Wait()
		_, err := c.do(t.Context(), "app", []string{"snapshot"}, false)
		require.NoError(t, err)
		group.Wait()
	})
}

func TestWhatOneAsksForDoesNotFailForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("no such role")
		c := newCombiner(func(_ context.Context, _ string, roles []string) (tasks.Result, error) {
			time.Sleep(time.Second)
			if slices.Contains(roles, "bad") {
				return tasks.Result{}, bad
			}
			return tasks.Result{Roles: roles}, nil
		})
		go func() { _, _ = c.do(t.Context(), "app", []string{"first"}, false) }()
		synctest.Wait()
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				_, err := c.do(t.Context(), "app", []string{"bad"}, false)
				assert.ErrorIs(t, err, bad)
			})
			group.Go(func() {
				result, err := c.do(t.Context(), "app", []string{"good"}, false)
				assert.NoError(t, err)
				assert.Equal(t, []string{"good"}, result.Roles)
			})
		}
		group.Wait()
	})
}

func TestABatchTakesTheTimeOfTwoRollsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCombiner(func(ctx context.Context, _ string, roles []string) (tasks.Result, error) {
			if slices.ContainsFunc(roles, published.IsDelegated) {
				<-ctx.Done()
				return tasks.Result{}, context.Cause(ctx)
			}
			time.Sleep(time.Second)
			return tasks.Result{Roles: roles}, nil
		})
		go func() { _, _ = c.do(t.Context(), "app", []string{"first"}, false) }()
		synctest.Wait()
		begun := time.Now()
		var group sync.WaitGroup
		for _, role := range []string{"a", "timestamp", "b", "c", "snapshot", "d"} {
			group.Go(func() {
				_, err := c.do(t.Context(), "app", []string{role}, false)
				if published.IsDelegated(role) {
					assert.ErrorIs(t, err, context.DeadlineExceeded, role)
				} else {
					assert.NoError(t, err, role)
				}
			})
		}
		group.Wait()
		assert.LessOrEqual(t, time.Since(begun), 3*c.timeout, "one of them for the roll before")
	})
}

func TestAppsDoNotWaitForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		c := newCombiner(func(_ context.Context, app string, _ []string) (tasks.Result, error) {
			if app == "slow" {
				<-hang
			}
			return tasks.Result{}, nil
		})
		go func() { _, _ = c.do(t.Context(), "slow", []string{"timestamp"}, false) }()
		synctest.Wait()
		_, err := c.do(t.Context(), "quick", []string{"timestamp"}, false)
		require.NoError(t, err)
		close(hang)
	})
}

func TestARollEndsWhenAllWhoWaitHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		c := newCombiner(func(ctx context.Context, _ string, _ []string) (tasks.Result, error) {
			<-ctx.Done()
			ended.Store(true)
			return tasks.Result{}, ctx.Err()
		})
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		go func() { _, _ = c.do(first, "app", []string{"timestamp"}, false) }()
		go func() { _, _ = c.do(second, "app", []string{"timestamp"}, false) }()
		synctest.Wait()
		leaveFirst()
		synctest.Wait()
		leaveSecond()
		synctest.Wait()
		assert.True(t, ended.Load())
	})
}
