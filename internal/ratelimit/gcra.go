// Package ratelimit decides how many requests a caller may make, and tells
// the caller so in the headers that the Confluent Cloud APIs document.
//
// The rule is the generic cell rate algorithm, which keeps one time for each
// caller and needs no timer: [Limit.Take] is that rule as a pure function of
// the limit, the time and what is remembered; [Limit.TakeInLine] is the same
// with a line for who was refused. A [Limiter] remembers it for many callers, in
// a bounded amount of memory, [TakeAll] asks several of them at once, and
// [WriteHeaders] writes the outcome. An [Exchange] tells other processes what
// this one admitted. [Places] bound how many requests are under way at once.
package ratelimit

import (
	"errors"
	"fmt"
	"slices"
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

// Bounds of the line of those who were refused and told when to come back.
const (
	// maxLine is how many of one caller's requests can have a place in the line
	// at a time.
	maxLine = 64
	// maxWait is how far ahead places are given. It is less where processes share
	// a limit, since one cannot use what is promised at another when the load
	// shifts.
	maxWait       = time.Hour
	maxSharedWait = 2 * time.Second
	// spread is over how many seconds those are told to come who get no place.
	spread = 8
	// keptFor is how long a place that is due is kept for the request that has
	// it. After that any request may take it, so that no capacity is lost to who
	// does not come back, and lostAfter is when it is gone.
	keptFor   = 500 * time.Millisecond
	lostAfter = 2 * time.Second
	// maxOverdraft is how much more debt than the burst and the line can make
	// others' requests may add (see [Limit.Charge]), besides a single request.
	maxOverdraft = 2 * time.Second
)

// State is what is remembered of one caller. The zero State is that of a
// caller who is not known, and equals that of one who has been idle for long.
type State struct {
	// idleAt is when the whole burst is available again, what the literature
	// calls the theoretical arrival time: with all that were admitted, and all
	// who wait in line.
	idleAt time.Time
	// line are the places of requests that were refused, in the order in which
	// they are due.
	line []place
	// share is what this process may use until it hears from the others.
	share share
	// turnedAway counts those who got no place, to tell each another time.
	turnedAway uint8
}

// place is the promise to a refused request that it is admitted when it comes
// back at the time that it was told. Its cost is in the debt already.
type place struct {
	due time.Time
	tag uint64
}

// share is how a process keeps within its part of a limit until it hears what
// the others admitted: it takes the debt to grow as if each of them did what it
// does itself.
type share struct {
	epoch uint64
	// idleAt is State.idleAt under that assumption.
	idleAt time.Time
}

// Sharing says among how many processes a limit is shared. Epoch changes each
// time that they have told each other what they admitted. The zero Sharing is
// that of a process that is alone.
type Sharing struct {
	Replicas int
	Epoch    uint64
}

// Idle reports whether the state says no more at that time than the zero
// State does, so that it can be forgotten.
func (s State) Idle(now time.Time) bool {
	return !s.idleAt.After(now) && (len(s.line) == 0 || now.Sub(s.line[len(s.line)-1].due) > lostAfter)
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
	// RetryAfter is when the request should come back; 0 if it was allowed. With
	// a line it is a whole number of seconds, and without one the shortest wait,
	// which trying again earlier does not make longer.
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
	d, how := l.look(now, &s, 0, Sharing{})
	if d.Allowed {
		l.admit(now, &s, how, Sharing{})
	}
	return d, s
}

// TakeInLine is Take where requests that are refused stand in line: each is
// told a time of its own at which it is admitted if it comes back then, so that
// many clients who wait do not come back at one instant to fail together, and
// nobody who came later goes first. The tag, which is not 0, tells requests
// apart: one that comes back has the one it had. The state must not be used
// again after it; the one returned takes its memory.
//
// Within any time t at most Burst requests are admitted, and those that t and
// three seconds more allow on average: places in line are told in whole seconds
// and kept for two more.
func (l Limit) TakeInLine(now time.Time, s State, tag uint64, with Sharing) (Decision, State) {
	if l == (Limit{}) {
		return Decision{Allowed: true}, s
	}
	d, how := l.look(now, &s, tag, with)
	if d.Allowed {
		l.admit(now, &s, how, with)
	} else {
		l.stand(now, &s, tag, with, &d)
	}
	return d, s
}

// Charge returns the state after n requests that other processes admitted for
// the same caller. They count up to what the burst, the lines of all processes
// and two seconds can come to: what comes in late and all at once must not block
// a caller for long.
func (l Limit) Charge(now time.Time, s State, n int, with Sharing) State {
	if l == (Limit{}) || n < 1 {
		return s
	}
	interval := l.interval()
	debt := s.debt(now)
	most := maxWindow
	if n := l.Burst + maxLine*max(with.Replicas, 1) + 1; interval < maxWindow/time.Duration(n) {
		most = time.Duration(n)*interval + maxOverdraft
	}
	more := most
	if time.Duration(n) <= most/interval {
		more = time.Duration(n) * interval
	}
	s.idleAt = now.Add(max(debt, min(debt+more, most)))
	return s
}

func (s *State) debt(now time.Time) time.Duration { return max(s.idleAt.Sub(now), 0) }

// assumed is the debt with what the others are assumed to have added to it.
func (s *State) assumed(now time.Time, with Sharing) time.Duration {
	if with.Replicas <= 1 {
		return s.debt(now)
	}
	debt := s.debt(now)
	if s.share.epoch != with.Epoch {
		// Half of what they were assumed to add and were not heard of is kept: it
		// may be on its way.
		late := max(s.share.idleAt.Sub(now)-debt, 0)
		s.share = share{epoch: with.Epoch, idleAt: now.Add(debt + late/2)}
	}
	return max(debt, s.share.idleAt.Sub(now))
}

// fresh is how a request is admitted that has no place in line.
const fresh = -1

// look decides on a request, and how it would be admitted: fresh, or by the
// place in line with that index. It changes nothing that anybody is owed.
func (l Limit) look(now time.Time, s *State, tag uint64, with Sharing) (d Decision, how int) {
	interval := l.interval()
	window := time.Duration(l.Burst) * interval
	for len(s.line) > 0 && now.Sub(s.line[0].due) > lostAfter {
		s.line = s.line[:copy(s.line, s.line[1:])]
	}
	debt := s.debt(now)
	d = Decision{Allowed: true, Limit: l.Burst, Remaining: int(max(window-debt, 0) / interval), Reset: debt}
	if tag != 0 {
		for i, p := range s.line {
			late := now.Sub(p.due)
			if late < 0 {
				break
			}
			if p.tag == tag || late > keptFor {
				return d, i
			}
		}
	}
	if excess := s.assumed(now, with) - (window - interval); excess > 0 {
		d.Allowed, d.RetryAfter = false, excess
		return d, fresh
	}
	d.Remaining--
	d.Reset += interval
	return d, fresh
}

// admit counts a request that look allowed.
func (l Limit) admit(now time.Time, s *State, how int, with Sharing) {
	if how == fresh {
		l.owe(now, s, with)
	} else {
		s.line = append(s.line[:how], s.line[how+1:]...)
	}
}

// owe adds one request to the debt.
func (l Limit) owe(now time.Time, s *State, with Sharing) {
	interval := l.interval()
	if with.Replicas > 1 {
		s.share.idleAt = now.Add(s.assumed(now, with) + time.Duration(with.Replicas)*interval)
	}
	s.idleAt = now.Add(s.debt(now) + interval)
}

// stand gives a refused request a place at the end of the line, if there is
// one left, and tells it when to come. It reports whether there was.
func (l Limit) stand(now time.Time, s *State, tag uint64, with Sharing, d *Decision) bool {
	d.Remaining = 0
	if tag == 0 {
		return false
	}
	d.RetryAfter = max((d.RetryAfter + time.Second - 1).Truncate(time.Second), time.Second)
	longest := maxWait
	if with.Replicas > 1 {
		longest = maxSharedWait
	}
	if len(s.line) >= maxLine || d.RetryAfter > longest {
		d.RetryAfter += time.Duration(s.turnedAway%spread) * time.Second
		s.turnedAway++
		return false
	}
	l.owe(now, s, with)
	d.Reset = s.debt(now)
	due := now.Add(d.RetryAfter)
	i := len(s.line)
	for i > 0 && s.line[i-1].due.After(due) {
		i--
	}
	s.line = slices.Insert(s.line, i, place{due: due, tag: tag})
	return true
}
