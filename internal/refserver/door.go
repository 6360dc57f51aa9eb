package refserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// A door bounds how many connections there are, and thereby memory and open files, without ever
// being shut. A limit that lets newcomers wait would be a gift to whoever holds connections and
// says nothing: everybody else would wait behind them, one header timeout after the other. So a
// newcomer always gets in, and over the limit somebody else goes: of those that wait (for a first
// or another request) the one that has waited longest, and only if all others are being answered
// the one for which that takes longest. Who has something to say says it at once and is answered in
// milliseconds; nobody can keep others away but by connecting faster than they speak.
type door struct {
	limit int

	mu      sync.Mutex
	places  map[net.Conn]*list.Element // in one of the two lists, which hold each connection, oldest first
	waiting list.List
	busy    list.List
}

func newDoor(limit int) *door { return &door{limit: limit, places: make(map[net.Conn]*list.Element)} }

// changed is an http.Server's ConnState. The server calls it for a new connection before it accepts
// the next.
func (d *door) changed(conn net.Conn, state http.ConnState) {
	if other := d.move(conn, state); other != nil {
		_ = other.Close() // whatever it says, the connection is gone
	}
}

// move puts conn where its state belongs and returns the connection that has to go for it, nil if
// there is room.
func (d *door) move(conn net.Conn, state http.ConnState) (other net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	place, known := d.places[conn]
	if !known && state != http.StateNew {
		return nil // it had to go, and what it was doing ends only now
	}
	if known {
		d.waiting.Remove(place) // one of these
		d.busy.Remove(place)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		d.places[conn] = d.waiting.PushBack(conn)
	case http.StateActive:
		d.places[conn] = d.busy.PushBack(conn)
	default:
		delete(d.places, conn)
	}
	if len(d.places) <= d.limit {
		return nil
	}
	from := &d.waiting
	if from.Len() == 1 { // conn itself
		from = &d.busy
	}
	other, _ = from.Remove(from.Front()).(net.Conn) // a list holds nothing else
	delete(d.places, other)
	return other
}
