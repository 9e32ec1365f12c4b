package server

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many connections are open at once. Where there are too
// many, the one that has stood idle for the longest makes room, so that clients
// who open connections and say nothing keep nobody out. Where all are at work,
// the new one is closed.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*list.Element
	// idle are those that wait for a request, the longest first.
	idle *list.List
}

// newConnections returns a bound of so many connections; 0 is none.
func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}, idle: list.New()}
}

// changed is for http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if c.most == 0 {
		return
	}
	if surplus := c.note(conn, state); surplus != nil {
		_ = surplus.Close() // its end is told of by another change
	}
}

// note returns the connection that is to be closed, or nil.
func (c *connections) note(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[conn]; at != nil {
		c.idle.Remove(at)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	if state != http.StateNew || len(c.open) <= c.most {
		return nil
	}
	oldest := c.idle.Front().Value.(net.Conn)
	delete(c.open, oldest)
	c.idle.Remove(c.idle.Front())
	return oldest
}

// count is how many are open.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
