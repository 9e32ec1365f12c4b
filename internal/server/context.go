package server

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of a request: it holds the record and ends at the
// deadline, or with the context that it is made from. It is what
// context.WithValue and context.WithDeadline would make, but has no timer until
// somebody waits for the end. Most reads do not, and a timer is a tenth of what
// they take.
type requestContext struct {
	context.Context
	record   record
	deadline time.Time

	mu sync.Mutex
	// timed ends at the deadline; it is nil until it is needed.
	timed context.Context
	stop  context.CancelFunc
	ended bool
}

// end is called when the request is over.
func (c *requestContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.stop != nil {
		c.stop()
	}
}

// started returns timed, or nil where nobody needs it yet, and whether the request
// is over.
func (c *requestContext) started() (timed context.Context, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timed, c.ended
}

// start returns timed, and makes it where it is not there.
func (c *requestContext) start() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.stop = context.WithDeadline(c.Context, c.deadline)
		if c.ended {
			c.stop()
		}
	}
	return c.timed
}

// Deadline implements [context.Context].
func (c *requestContext) Deadline() (time.Time, bool) {
	if at, ok := c.Context.Deadline(); ok && at.Before(c.deadline) {
		return at, true
	}
	return c.deadline, true
}

// Done implements [context.Context].
func (c *requestContext) Done() <-chan struct{} { return c.start().Done() }

// Err implements [context.Context].
func (c *requestContext) Err() error {
	timed, ended := c.started()
	if timed == nil {
		if !ended && c.Context.Err() == nil && time.Now().Before(c.deadline) {
			return nil
		}
		timed = c.start() // which keeps saying why it ended
	}
	return timed.Err()
}

// Value implements [context.Context]. What package context asks for is timed's.
func (c *requestContext) Value(key any) any {
	if key == (recordKey{}) {
		return &c.record
	}
	if timed, _ := c.started(); timed != nil {
		return timed.Value(key)
	}
	return c.Context.Value(key)
}
