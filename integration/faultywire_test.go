package integration_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	faultyShare = 0.12                   // of the requests
	isSlow      = "is slow"              // a fault, besides wireFaults
	slowest     = 500 * time.Millisecond // answer that comes at all
)

// A faultyWire is the way of one replica to S3.
type faultyWire struct {
	faulty atomic.Bool

	mu       sync.Mutex
	random   *rand.Rand
	requests int            // since faulty is set, but for those that were held
	done     map[string]int // faults by name
	free     int            // requests that pass before the others are held
	held     chan struct{}  // if not nil, requests are held until it is closed
	waiting  int            // requests that are held
}

// faultNames are the faults that a faultyWire has.
func faultNames() []string { return append(slices.Sorted(maps.Keys(wireFaults)), isSlow) }

// hold lets some requests pass, and holds all later ones until goOn is called. Then these reach S3,
// without faults.
func (w *faultyWire) hold(free int) (goOn func()) {
	held := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free, w.held = free, held
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held = nil
		close(held)
	}
}

// holds reports whether a request is held.
func (w *faultyWire) holds() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0
}

// count adds the faults that there were, and returns how many requests there were.
func (w *faultyWire) count(faults map[string]int) (requests int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.done {
		faults[name] += n
	}
	return w.requests
}

func (w *faultyWire) serve(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
	switch fault, pause, held := w.next(); {
	case held != nil:
		select {
		case <-held:
		case <-r.Context().Done():
		}
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
		pass.ServeHTTP(rw, r)
	case fault == isSlow:
		time.Sleep(pause)
		pass.ServeHTTP(rw, r)
	case fault != "":
		wireFaults[fault].do(rw, r, pass)
	default:
		pass.ServeHTTP(rw, r)
	}
}

// next returns what happens to the next request. It is held if held is not nil. pause is for one
// that is slow.
func (w *faultyWire) next() (fault string, pause time.Duration, held <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		if w.free--; w.free < 0 {
			w.waiting++
			return "", 0, w.held
		}
	}
	if !w.faulty.Load() {
		return "", 0, nil
	}
	w.requests++
	if w.random.Float64() >= faultyShare {
		return "", 0, nil
	}
	names := faultNames()
	fault = names[w.random.IntN(len(names))]
	w.done[fault]++
	return fault, time.Duration(w.random.Int64N(int64(slowest))), nil
}
