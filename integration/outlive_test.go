package integration_test

import (
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/internal/testrepo"
)

// rescued is how long it may take until a task that lost its worker has been done by another: what
// -roll-timeout allows (see below), the pauses of those who look for such tasks, and some patience.
const rescued = 3 * time.Minute

// Three servers on one Postgres and one store: whichever is killed, what was accepted is done, and
// no client notices.
func TestWhatWasAcceptedOutlivesTheServers(t *testing.T) {
	const updates, apps = 300, 6
	db := pgserver.Start(t)
	f := newFleet(t, apps, testrepo.Options{}, "-tasks", db, "-roll-timeout", "5s", "-no-renew")
	replicas := []*replica{f.replica(t), f.replica(t), f.replica(t)}
	stop := f.poll(t)

	var mu sync.Mutex
	var accepted []string
	var alive [3]sync.RWMutex // held by who asks, so that nobody asks a dead replica
	next := make(chan int)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for n := range next {
				for { // what is not accepted is asked for again, elsewhere
					i := rand.IntN(len(replicas))
					alive[i].RLock()
					id, _ := replicas[i].force(t, f.repos[n%apps].App)
					alive[i].RUnlock()
					if id != "" {
						mu.Lock()
						accepted = append(accepted, id)
						mu.Unlock()
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
		})
	}
	for n := range updates {
		next <- n
		if n%(updates/6) == updates/12 { // twice each
			victim := n / (updates / 6) % len(replicas)
			replicas[victim].kill() // with whatever it is doing
			alive[victim].Lock()
			replicas[victim].start(t)
			alive[victim].Unlock()
		}
	}
	close(next)
	asking.Wait()
	require.Len(t, accepted, updates)
	for i, id := range accepted {
		replicas[i%len(replicas)].await(t, id, rescued)
	}
	t.Logf("%d updates accepted and done by 3 servers that were killed twice each; %d polls by clients", updates, stop())
	for _, r := range replicas {
		r.stop(t)
	}
}

// A server on SQLite that is killed as soon as it has answered does the task when it is started
// again.
func TestAServerOnSQLiteDoesAfterARestartWhatItHasAccepted(t *testing.T) {
	f := newFleet(t, 1, testrepo.Options{}, "-tasks", "sqlite://"+filepath.Join(t.TempDir(), "tasks.db"), "-roll-timeout",
		"5s", "-no-renew")
	r := f.replica(t)
	for range 5 {
		id, status := r.force(t, f.repos[0].App)
		r.kill()
		require.Equal(t, http.StatusOK, status)
		r.start(t)
		r.await(t, id, rescued)
	}
	r.stop(t)
}

// A replica that only accepts leaves the work to others, and nothing is lost if there is none for a
// while.
func TestAReplicaMayJustAccept(t *testing.T) {
	db := pgserver.Start(t)
	f := newFleet(t, 1, testrepo.Options{}, "-tasks", db, "-no-renew")
	front := f.replica(t, "-work=false")
	id, status := front.force(t, f.repos[0].App)
	require.Equal(t, http.StatusOK, status)
	time.Sleep(time.Second) // in which any worker would have done it
	var task answer[taskState]
	require.Equal(t, http.StatusOK, front.call(t, http.MethodGet, "/tuf/v1/task?task_id="+id, "", &task))
	assert.Equal(t, "PENDING", task.Data.State)
	front.stop(t)

	worker := f.replica(t)
	worker.await(t, id, patience)
	worker.stop(t)
}
