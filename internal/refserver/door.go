package refserver

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// A door bounds the number of connections, and with it memory and open files. It never makes a new
// connection wait: an attacker who holds silent connections would then keep all clients waiting.
//
// A new connection always gets in. Over the limit, the door closes another one:
//
//   - The first to go is the connection that has waited longest for a request.
//   - If no other connection waits, the one whose request has taken longest goes.
//
// A client sends its request at once and has its answer in milliseconds. An attacker can keep
// clients away only by connecting faster than they send.
type door struct {
	limit int

	mu      sync.Mutex
	places  map[net.Conn]*list.Element // of each connection, in one of the two lists
	waiting list.List                  // oldest first
	busy    list.List                  // oldest first
}

func newDoor(limit int) *door { return &door{limit: limit, places: make(map[net.Conn]*list.Element)} }

// changed is an http.Server's ConnState. The server calls it for a new connection before it accepts
// the next.
func (d *door) changed(conn net.Conn, state http.ConnState) {
	if other := d.move(conn, state); other != nil {
		_ = other.Close() // an error changes nothing: the connection is gone
	}
}

// move puts conn into the list for its state. It returns the connection that has to go, nil if
// there is room.
func (d *door) move(conn net.Conn, state http.ConnState) (other net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	place, known := d.places[conn]
	if !known && state != http.StateNew {
		return nil // the door has closed it before, and its handler ends only now
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
