package integration_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/integration/history"
	"github.com/tufonline/tufonline/integration/pgserver"
	"github.com/tufonline/tufonline/integration/s3server"
	"github.com/tufonline/tufonline/internal/testrepo"
	"github.com/tufonline/tufonline/tasks"
)

const (
	gathering  = time.Second / 2  // in which tasks gather behind what a server is about to stall at
	stalledFor = 20 * time.Second // at least; the rescue of -roll-timeout 2s is 19 seconds
)

// Three servers on one S3 and one Postgres, a share of whose requests to S3 is faulty. One of them
// stalls in the middle of its work for longer than the rescue, and then goes on. What every task
// says is compared with what the store accepted and holds:
//
//   - Each accepted task succeeds, since no fault lasts. What it says from then on never changes,
//     whatever the stalled server says later.
//   - A success has no error. S3 has accepted the timestamp that it names, with the snapshot that
//     it names. The snapshot lists every other version that it names. All of them verify.
//   - Clients that looked later saw nothing older, and no client failed.
func TestEveryResultIsTrueWhateverStallsAndFails(t *testing.T) {
	updates, stalls := 150, 1
	if os.Getenv("TUF_TEST_SOAK") != "" {
		updates, stalls = 1000, 6
	}
	server := s3server.Start(t)
	needProxy(t, server)
	db := pgserver.Start(t)
	place := server.Place()
	f := newFleetAt(t, place.String(), []testrepo.Options{
		{App: "acme/plain", Keys: map[string]string{"timestamp": testrepo.ECDSA}},
		{App: "acme/hashes", Hashes: true, Unknown: true},
		{App: "acme/nested", Delegation: []testrepo.Delegation{{Name: "outer", Paths: []string{"a/*"},
			Children: []testrepo.Delegation{{Name: "inner", Paths: []string{"a/*"}, Target: "a/file"}}}}},
		{App: "acme/bins", Succinct: 2},
	}, "-tasks", db, "-roll-timeout", "2s", "-no-renew")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &claims{
		random: rand.New(rand.NewPCG(seed, 0)), fleet: f, first: map[string]taskState{},
		watch: &watch{store: open(t, f.store), pause: 50 * time.Millisecond, digests: map[string]string{}},
	}
	all := &releasesOnS3{fleet: f, timestamps: map[string]map[int64][]byte{}}
	var wires []*faultyWire
	var replicas []*replica
	for i := range 3 {
		w := &faultyWire{random: rand.New(rand.NewPCG(seed, uint64(i+1))), done: map[string]int{}}
		through := throughProxy(t, place, func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
			w.serve(rw, r, all.seen(pass))
		})
		wires, replicas = append(wires, w), append(replicas, f.replica(t, "-store", through))
	}
	for _, w := range wires {
		w.faulty.Store(true)
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	for _, repo := range f.repos {
		watching.Go(func() { c.watch.watch(t, repo, done) })
	}
	finish := sync.OnceFunc(func() { close(done); watching.Wait() })
	defer finish()

	var longest time.Duration
	for n := range stalls {
		stalled := (n + 1) % len(replicas) // the first one to start leads in River, and stalls third
		others := slices.Delete(slices.Clone(replicas), stalled, stalled+1)
		victim := replicas[stalled].cmd.Process
		goOn := wires[stalled].hold(c.random.IntN(6))
		half := updates*(2*n+1)/(2*stalls) - len(c.asked)
		var asking sync.WaitGroup
		asking.Go(func() { c.ask(t, half, others) })
		require.Eventually(t, wires[stalled].holds, patience, time.Millisecond, "the server that is to stall gets no task")
		time.Sleep(gathering)
		require.NoError(t, victim.Signal(syscall.SIGSTOP))
		goOn()
		begun := time.Now()
		asking.Wait()
		c.await(t, others[0])
		time.Sleep(time.Until(begun.Add(stalledFor)))
		require.NoError(t, victim.Signal(syscall.SIGCONT))
		longest = max(longest, time.Since(begun))
		c.ask(t, updates*(2*n+2)/(2*stalls)-len(c.asked), replicas)
		c.await(t, replicas[stalled])
	}
	require.Len(t, c.first, updates)
	finish()
	for _, r := range replicas { // after it they say nothing any more
		r.stop(t)
	}
	reader := f.replica(t, "-work=false")
	attempts := 0
	for _, u := range c.asked {
		said := reader.task(t, u.id)
		attempts += said.Result.Details.Attempt
		assert.Equal(t, c.first[u.id], said, "task %s of %s says something else than when it had ended", u.id, u.app)
		for _, wrong := range append(wrongIn(said), all.wrongIn(u.app, said.Result.Details.Versions)...) {
			assert.Fail(t, wrong, "task %s of %s: %+v", u.id, u.app, said)
		}
	}
	reader.stop(t)
	for _, repo := range f.repos {
		c.watch.readSnapshots(t, repo)
		all.check(t, repo, c.watch)
	}
	c.watch.readAgain(t)
	for _, wrong := range history.Check(c.watch.record) {
		assert.Fail(t, wrong)
	}

	lost := sql(t, db, `SELECT count(*) FROM river_job
		WHERE EXISTS (SELECT 1 FROM unnest(errors) e WHERE e->>'error' LIKE 'Stuck job rescued%')`)[0]
	assert.NotEqual(t, "0", lost, "tasks that lost their worker to a stall")
	requests, faults := 0, map[string]int{}
	for _, w := range wires {
		requests += w.count(faults)
	}
	for _, name := range faultNames() {
		assert.Positive(t, faults[name], "requests to S3: one %s", name)
	}
	t.Logf("%d tasks, %d attempts, %s tasks lost their worker to %d stalls of %v at most; %d observations by clients",
		updates, attempts, lost, stalls, longest.Round(time.Second), len(c.watch.record.Observations))
	t.Logf("%d releases; %d requests to S3, faults among them: %v", all.count(), requests, faults)
}

// claims are what was asked for, and what tasks say of it.
type claims struct {
	fleet  *fleet
	watch  *watch
	random *rand.Rand
	asked  []update
	first  map[string]taskState // by ID: what a task said when it was found to have ended
}

// An update is an accepted one.
type update struct {
	id, app string
	roles   []string
}

// ask has updates accepted, each by some replica. An update that is not accepted is asked for
// again.
func (c *claims) ask(t *testing.T, updates int, replicas []*replica) {
	t.Helper()
	more := map[string][][]string{"acme/nested": {{"inner"}, {"outer", "inner"}}, "acme/bins": {{"bin"}, {"bin-1"}}}
	next := make(chan update)
	var mu sync.Mutex
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for u := range next {
				for n := i; u.id == "" && !t.Failed(); n++ {
					u.id, _ = replicas[n%len(replicas)].force(t, u.app, u.roles...)
					if u.id == "" {
						time.Sleep(50 * time.Millisecond)
					}
				}
				mu.Lock()
				c.asked = append(c.asked, u)
				mu.Unlock()
			}
		})
	}
	for range updates {
		app := c.fleet.repos[c.random.IntN(len(c.fleet.repos))].App
		roles := append([][]string{nil, {"timestamp"}, {"snapshot"}, {"targets"}}, more[app]...)
		next <- update{app: app, roles: roles[c.random.IntN(len(roles))]}
		time.Sleep(10 * time.Millisecond) // so that every replica takes some
	}
	close(next)
	asking.Wait()
}

// await waits until all that was asked for has ended, and keeps what the tasks say.
func (c *claims) await(t *testing.T, r *replica) {
	t.Helper()
	late := time.Now().Add(rescued)
	for _, u := range c.asked {
		for c.first[u.id].ID == "" {
			task := r.task(t, u.id)
			if tasks.State(task.State).Ended() {
				c.first[u.id] = task
				if task.State == string(tasks.StateSuccess) {
					c.watch.success(u.app, u.roles, task.Result.Details.Versions)
				}
				break
			}
			require.True(t, time.Now().Before(late), "task %s of %s is still not done: %+v", u.id, u.app, task)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// task returns what a task says.
func (r *replica) task(t *testing.T, id string) taskState {
	t.Helper()
	var task answer[taskState]
	require.Equal(t, http.StatusOK, r.call(t, http.MethodGet, "/tuf/v1/task?task_id="+id, "", &task))
	require.Equal(t, id, task.Data.ID)
	return task.Data
}

// wrongIn returns what is wrong with what a task says that has ended, without a look at the store.
func wrongIn(task taskState) (wrong []string) {
	result := task.Result
	complain := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	if task.State != string(tasks.StateSuccess) {
		complain(false, "no fault lasts, and it has not succeeded")
		complain(task.State == string(tasks.StateFailure), "it has not ended")
		complain(!result.Status, "it has not succeeded, and its status says so")
		complain(result.Error != "", "it has failed without an error")
		complain(result.ErrorCode != "", "it has failed without a code")
		return wrong
	}
	complain(result.Status, "it has succeeded, and its status does not say so")
	complain(result.Error == "" && result.ErrorCode == "", "it has succeeded with an error")
	complain(len(result.Details.Versions) > 0, "it has succeeded without versions")
	complain(slices.Equal(slices.Sorted(slices.Values(result.Details.UpdatedRoles)),
		slices.Sorted(maps.Keys(result.Details.Versions))), "the updated roles are not those with versions")
	complain(len(result.Details.Warnings) == 0, "it has warnings")
	return wrong
}
