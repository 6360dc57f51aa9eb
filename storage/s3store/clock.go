package s3store

import (
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A clock compares the time that a service's answers bear with this machine's.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	known bool
}

// Skew implements storage.Clock. The header Date of an answer has whole seconds.
func (s *Store) Skew() (ahead time.Duration, known bool) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	return s.clock.ahead, s.clock.known
}

// watch is the option of each call that has its answers looked at.
func (s *Store) watch(o *s3.Options) { o.HTTPClient = watcher{o.HTTPClient, &s.clock} }

// A watcher looks at the answers that come through an HTTP client.
type watcher struct {
	s3.HTTPClient
	clock *clock
}

func (w watcher) Do(req *http.Request) (*http.Response, error) {
	answer, err := w.HTTPClient.Do(req)
	if err == nil {
		w.clock.read(answer.Header.Get("Date"), time.Now())
	}
	return answer, err
}

// read notes the date of an answer that has just arrived.
func (c *clock) read(date string, now time.Time) {
	t, err := http.ParseTime(date)
	if err != nil {
		return // it bears none
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.known = t.Sub(now), true
}
