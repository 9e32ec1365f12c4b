// Package ratelimit decides how many requests a caller may make, and tells
// the caller so in the headers that the Confluent Cloud APIs document.
//
// The rule is the generic cell rate algorithm, which keeps one time for each
// caller and needs no timer: [Limit.Take] is that rule as a pure function of
// the limit, the time and what is remembered. A [Limiter] remembers it for many
// callers, in a bounded amount of memory, and [WriteHeaders] writes the outcome.
package ratelimit

import (
	"errors"
	"fmt"
	"time"
)

// maxWindow keeps the arithmetic far from the ends of time.Duration.
const maxWindow = 100 * 365 * 24 * time.Hour

// Limit allows Requests in every Per on average, and Burst of them at once.
// The zero Limit allows everything.
//
// Requests that are spread evenly pass at the average rate for ever. A caller
// who was idle may make Burst requests at one instant and then waits
// Per/Requests for each further one.
type Limit struct {
	// Requests is how many requests become available again in every Per.
	// Per/Requests is rounded up to a whole nanosecond.
	Requests int
	Per      time.Duration
	// Burst is the most requests that can ever be available; at least 1.
	Burst int
}

// Validate reports what is wrong with a limit that is neither zero nor
// complete, or that would take more than a century to recover.
func (l Limit) Validate() error {
	switch {
	case l == Limit{}:
		return nil
	case l.Requests < 1:
		return fmt.Errorf("rate limit allows %d requests: give at least 1", l.Requests)
	case l.Per <= 0:
		return fmt.Errorf("rate limit counts requests per %v: give a longer time", l.Per)
	case l.Burst < 1:
		return fmt.Errorf("rate limit has a burst of %d: give at least 1", l.Burst)
	case l.interval() > maxWindow/time.Duration(l.Burst):
		return errors.New("rate limit takes more than a century to recover: allow more requests or a smaller burst")
	}
	return nil
}

// interval is the time in which one request becomes available. It is rounded
// up, because rounding down would allow more than the limit says.
func (l Limit) interval() time.Duration {
	d := l.Per / time.Duration(l.Requests)
	if l.Per%time.Duration(l.Requests) != 0 {
		d++
	}
	return d
}

// State is what is remembered of one caller. The zero State is that of a
// caller who is not known, and equals that of one who has been idle for long.
type State struct {
	// idleAt is when the whole burst is available again; what the literature
	// calls the theoretical arrival time.
	idleAt time.Time
}

// Idle reports whether the state says no more at that time than the zero
// State does, so that it can be forgotten.
func (s State) Idle(now time.Time) bool {
	return !s.idleAt.After(now)
}

// Decision is the answer to one request.
type Decision struct {
	Allowed bool
	// Limit is the burst that was applied, or 0 where no limit applies; then
	// the fields below are 0 too.
	Limit int
	// Remaining is how many further requests would be allowed at this instant.
	Remaining int
	// Reset is how long it takes until Remaining equals Limit again.
	Reset time.Duration
	// RetryAfter is how long it takes until a request is allowed; 0 if this one
	// was. Trying again earlier does not make it longer.
	RetryAfter time.Duration
}

// Take decides on one request at the time now, and returns what to remember.
// The limit must be valid (see [Limit.Validate]). A denied request costs
// nothing: the state stays as it is.
//
// Times from time.Now carry a monotonic reading, which the state keeps, so
// that setting the machine's clock neither pardons nor blocks anyone.
func (l Limit) Take(now time.Time, s State) (Decision, State) {
	if l == (Limit{}) {
		return Decision{Allowed: true}, s
	}
	interval := l.interval()
	window := time.Duration(l.Burst) * interval
	debt := max(s.idleAt.Sub(now), 0)
	if excess := debt - (window - interval); excess > 0 {
		return Decision{Limit: l.Burst, Reset: debt, RetryAfter: excess}, s
	}
	debt += interval
	return Decision{
		Allowed:   true,
		Limit:     l.Burst,
		Remaining: int((window - debt) / interval),
		Reset:     debt,
	}, State{idleAt: now.Add(debt)}
}
