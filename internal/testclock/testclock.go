// Package testclock has a clock that tests turn.
package testclock

import (
	"sync"
	"time"
)

// Clock stands still until it is turned. Its methods may be called from several
// goroutines.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// At returns a Clock that shows the time.
func At(now time.Time) *Clock { return &Clock{now: now} }

// Now returns what the Clock shows, for what takes a function like [time.Now].
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Forward turns the Clock by d.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
