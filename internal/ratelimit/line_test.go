package ratelimit_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

// events are what happens in a simulation, by time.
type events []event

type event struct {
	at time.Time
	do func(now time.Time)
}

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (e *events) add(at time.Time, do func(time.Time)) { heap.Push(e, event{at, do}) }

func (e *events) run(until time.Time) {
	for len(*e) > 0 && (*e)[0].at.Before(until) {
		next := heap.Pop(e).(event)
		next.do(next.at)
	}
}

// Terraform's provider tries each request five times and waits as long as
// Retry-After says. However low the limit is, fifty workers who want more all
// the time get everything done in the end, and no slower than the limit allows.
func TestLineLetsRetryingClientsFinish(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 2, 5, 10, 20, 50, 100} {
		for _, latency := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d a second, %v away", perSecond, latency), func(t *testing.T) {
				t.Parallel()
				c := clients{limit: ratelimit.Limit{Requests: perSecond, Per: time.Second, Burst: 10 * perSecond}, latency: latency}
				c.run()
				if c.gaveUp > 0 {
					t.Errorf("%d requests were given up", c.gaveUp)
				}
				most := time.Duration(max(3*resources-c.limit.Burst, 0)) * time.Second / time.Duration(perSecond)
				if took := c.finished.Sub(start); took > most*11/10+20*latency+5*time.Second {
					t.Errorf("it took %v, where the limit allows %v", took, most)
				}
			})
		}
	}
}

// Requests that cannot be told apart take each other's places now and then; that
// one of them loses its place four times is rare.
func TestLineOfRequestsThatAreAlike(t *testing.T) {
	t.Parallel()
	requests, gaveUp := 0, 0
	for _, perSecond := range []int{1, 2, 5, 10, 20, 50} {
		for seed := range uint64(10) {
			c := clients{
				limit:   ratelimit.Limit{Requests: perSecond, Per: time.Second, Burst: 10 * perSecond},
				latency: 5 * time.Millisecond, alike: true, seed: seed,
			}
			c.run()
			requests += 3 * resources
			gaveUp += c.gaveUp
		}
	}
	if gaveUp*10_000 > requests {
		t.Errorf("%d of %d requests were given up", gaveUp, requests)
	}
}

const (
	workers   = 50
	resources = 400
	attempts  = 5
)

// clients are workers that make resources, each with a create and two reads.
type clients struct {
	limit   ratelimit.Limit
	latency time.Duration
	// alike is whether all creates look the same.
	alike bool
	seed  uint64

	random   *rand.Rand
	events   events
	state    ratelimit.State
	begun    int
	gaveUp   int
	finished time.Time
}

func (c *clients) run() {
	c.random = rand.New(rand.NewPCG(c.seed, uint64(c.limit.Requests)))
	for i := range workers {
		c.events.add(start.Add(time.Duration(i)*time.Millisecond), c.next)
	}
	c.events.run(start.Add(24 * time.Hour))
}

func (c *clients) next(now time.Time) {
	if c.begun < resources {
		c.begun++
		c.request(now, c.begun, 0, 1)
	}
}

func (c *clients) request(now time.Time, resource, step, attempt int) {
	tag := uint64(resource + 1)
	if step == 0 && c.alike {
		tag = 1
	} else if step == 0 {
		tag += resources + 1
	}
	var d ratelimit.Decision
	d, c.state = c.limit.TakeInLine(now, c.state, tag, ratelimit.Sharing{})
	then := now.Add(c.latency/2 + time.Duration(c.random.Int64N(int64(c.latency))))
	switch {
	case d.Allowed && step < 2:
		c.events.add(then, func(now time.Time) { c.request(now, resource, step+1, 1) })
	case d.Allowed:
		c.finished = now
		c.events.add(then, c.next)
	case attempt < attempts:
		c.events.add(then.Add(d.RetryAfter), func(now time.Time) { c.request(now, resource, step, attempt+1) })
	default:
		c.gaveUp++
	}
}

// A line costs nobody capacity: clients who never come back, each request of
// whom is another one, get what the limit allows all the same.
func TestLineOfWhoNeverComesBack(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 20}
	var state ratelimit.State
	served := 0
	for i := range 60_000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		var d ratelimit.Decision
		d, state = limit.TakeInLine(now, state, uint64(i+1), ratelimit.Sharing{})
		if d.Allowed {
			served++
		}
	}
	if want := 20 + 600; served > want+30 || served < want*9/10 {
		t.Errorf("%d requests were served within a minute, want about %d", served, want)
	}
}

// FuzzLine makes requests at the given gaps and checks what a line promises.
func FuzzLine(f *testing.F) {
	f.Add(uint32(10), uint16(5), []byte{0, 0, 0, 0, 0, 0, 9, 1, 200, 0})
	f.Add(uint32(1), uint16(1), []byte{1, 1, 1, 1, 1, 1, 1, 255, 255, 0, 0, 0})
	f.Add(uint32(1000), uint16(100), []byte{255, 0, 255, 0, 0})
	f.Fuzz(func(t *testing.T, requests uint32, burst uint16, gaps []byte) {
		limit := ratelimit.Limit{Requests: int(requests), Per: time.Second, Burst: int(burst)}
		if limit == (ratelimit.Limit{}) || limit.Validate() != nil || len(gaps) > 64 {
			t.Skip()
		}
		now, state := start, ratelimit.State{}
		var allowed []time.Time
		promised := map[uint64]time.Time{}
		for i, gap := range gaps {
			now = now.Add(time.Duration(gap) * 10 * time.Millisecond)
			tag := uint64(i + 1)
			// Whoever was told to come back now does so, and is let in.
			for old, at := range promised {
				if now.Before(at) {
					continue
				}
				delete(promised, old)
				if now.Sub(at) < 500*time.Millisecond {
					tag = old
				}
				break
			}
			var d ratelimit.Decision
			d, state = limit.TakeInLine(now, state, tag, ratelimit.Sharing{})
			if d.Limit != limit.Burst || d.Remaining < 0 || d.Remaining > d.Limit || d.Reset < 0 {
				t.Fatalf("%+v: out of range: %+v", limit, d)
			}
			switch {
			case d.Allowed && d.RetryAfter == 0:
				allowed = append(allowed, now)
			case d.Allowed || d.RetryAfter < time.Second || d.RetryAfter%time.Second != 0 || d.Remaining != 0:
				t.Fatalf("%+v: refused with %+v", limit, d)
			default:
				promised[tag] = now.Add(d.RetryAfter)
			}
		}
		for i := range allowed {
			for j := i; j < len(allowed); j++ {
				checkWindow(t, limit, j-i+1, allowed[j].Sub(allowed[i])+3*time.Second)
			}
		}
	})
}

// A request that comes back when it was told is let in, whoever else comes in
// the meantime.
func TestPlaceInLineIsKept(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 2, Per: time.Second, Burst: 2}
	var state ratelimit.State
	take := func(after time.Duration, tag uint64) ratelimit.Decision {
		var d ratelimit.Decision
		d, state = limit.TakeInLine(start.Add(after), state, tag, ratelimit.Sharing{})
		return d
	}
	for tag := range uint64(2) {
		if d := take(0, tag+1); !d.Allowed {
			t.Fatalf("the burst is refused: %+v", d)
		}
	}
	var waits []time.Duration
	for tag := range uint64(5) {
		waits = append(waits, take(0, tag+10).RetryAfter/time.Second)
	}
	if want := []time.Duration{1, 1, 2, 2, 3}; !slices.Equal(waits, want) {
		t.Errorf("five requests are told to wait %v seconds, want %v", waits, want)
	}
	steps := []struct {
		after time.Duration
		tag   uint64
		want  bool
		why   string
	}{
		{999 * time.Millisecond, 10, false, "too early, which takes another place"},
		{time.Second, 99, false, "came later than those who wait"},
		{1100 * time.Millisecond, 11, true, "its time has come"},
		{1100 * time.Millisecond, 11, false, "has used its place"},
		{1600 * time.Millisecond, 98, true, "takes the place of one who is late by half a second"},
		{1600 * time.Millisecond, 97, false, "there is no other"},
		{2 * time.Second, 13, true, "in any order"},
		{2 * time.Second, 12, true, "in any order"},
	}
	for _, s := range steps {
		if d := take(s.after, s.tag); d.Allowed != s.want {
			t.Fatalf("request %d after %v: %+v, want allowed: %v: %s", s.tag, s.after, d, s.want, s.why)
		}
	}
}
