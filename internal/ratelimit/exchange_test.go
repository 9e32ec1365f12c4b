package ratelimit_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

// replicas are processes that share one limit, in simulated time.
type replicas struct {
	t       *testing.T
	limits  []*ratelimit.Limiter
	talk    []*ratelimit.Exchange
	events  events
	random  *rand.Rand
	dead    map[int]bool
	served  []int
	latency time.Duration
}

func newReplicas(t *testing.T, n int, limit ratelimit.Limit, latency time.Duration) *replicas {
	r := &replicas{t: t, dead: map[int]bool{}, served: make([]int, n), latency: latency, random: rand.New(rand.NewPCG(1, 2))}
	for i := range n {
		r.limits = append(r.limits, mustLimiter(t, limit, 1000))
		r.talk = append(r.talk, ratelimit.NewExchange(strconv.Itoa(i), map[string]*ratelimit.Limiter{"organization": r.limits[i]}, nil))
		r.tick(i, start.Add(time.Duration(r.random.Int64N(int64(ratelimit.ReportEvery)))))
	}
	return r
}

func (r *replicas) tick(i int, at time.Time) {
	r.events.add(at, func(now time.Time) {
		if r.dead[i] {
			return
		}
		for _, m := range r.talk[i].Tick(now) {
			for j := range r.talk {
				late := time.Duration(r.random.Int64N(int64(r.latency)))
				r.events.add(now.Add(late), func(now time.Time) {
					if !r.dead[j] {
						r.talk[j].Hear(m, now)
					}
				})
			}
		}
		r.tick(i, now.Add(ratelimit.ReportEvery+time.Duration(r.random.Int64N(int64(20*time.Millisecond)))))
	})
}

// load makes so many requests a second at a replica, of four kinds, from one
// time to another, without a regard to Retry-After.
func (r *replicas) load(i, perSecond int, from, to time.Duration) {
	gap := time.Second / time.Duration(perSecond)
	for at := from + time.Duration(r.random.Int64N(int64(gap))); at < to; at += gap {
		r.events.add(start.Add(at), func(now time.Time) {
			d, _ := ratelimit.TakeAll(now, uint64(r.random.IntN(4)+1), ratelimit.Charge{Limiter: r.limits[i], Key: "org"})
			if d.Allowed {
				r.served[i]++
			}
		})
	}
}

// during runs on, and returns what each replica served within the time.
func (r *replicas) during(from, to time.Duration) (each []int, total int) {
	r.events.run(start.Add(from))
	clear(r.served)
	r.events.run(start.Add(to))
	for _, n := range r.served {
		total += n
	}
	return append(each, r.served...), total
}

func (r *replicas) want(what string, from, to time.Duration, perSecond int) {
	r.t.Helper()
	each, total := r.during(from, to)
	want := perSecond * int((to-from)/time.Second)
	if total < want*8/10 || total > want*12/10 {
		r.t.Errorf("%s: %d requests were served from %v to %v, %v by replica; the limit allows %d", what, total, from, to, each, want)
	}
}

// Several replicas together admit what the limit says, wherever the load is, and
// go on when one of them dies.
func TestReplicasShareALimit(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{5, 20, 100} {
		for _, n := range []int{2, 3, 6} {
			t.Run(fmt.Sprintf("%d replicas, %d a second", n, perSecond), func(t *testing.T) {
				t.Parallel()
				limit := ratelimit.Limit{Requests: perSecond, Per: time.Second, Burst: 10 * perSecond}
				r := newReplicas(t, n, limit, 30*time.Millisecond)
				// Two seconds in which they find each other.
				const begin, even, one, uneven, dead, end = 2, 40, 80, 120, 160, 200
				for i := range n {
					r.load(i, 3*perSecond, begin*time.Second, even*time.Second)
				}
				r.load(0, 3*perSecond, even*time.Second, one*time.Second)
				for i := range n {
					r.load(i, max(3*perSecond>>(2*i), 1), one*time.Second, uneven*time.Second)
				}
				for i := range n {
					r.load(i, 2*perSecond, uneven*time.Second, end*time.Second)
				}
				r.events.add(start.Add(dead*time.Second), func(time.Time) { r.dead[n-1] = true })

				_, first := r.during(begin*time.Second, (begin+3)*time.Second)
				if most := limit.Burst + 3*perSecond; first > most*12/10 {
					t.Errorf("%d requests were served in the first three seconds, the limit allows %d", first, most)
				}
				// The burst is used up by then.
				r.want("even load", 12*time.Second, even*time.Second, perSecond)
				r.want("a shift to one replica", (even+6)*time.Second, (even+12)*time.Second, perSecond)
				r.want("load at one replica", (even+12)*time.Second, one*time.Second, perSecond)
				r.want("uneven load", (one+5)*time.Second, uneven*time.Second, perSecond)
				r.want("even load again", (uneven+5)*time.Second, dead*time.Second, perSecond)
				// The dead one answers here as it did, and nobody hears of it: what
				// is left must have the limit.
				each, _ := r.during((dead+20)*time.Second, end*time.Second)
				rest := 0
				for _, served := range each[:n-1] {
					rest += served
				}
				if want := perSecond * 20; rest < want*8/10 || rest > want*12/10 {
					t.Errorf("after one died the others served %d requests in 20 seconds, the limit allows %d", rest, want)
				}
			})
		}
	}
}

// Places are shared as rates are: all processes together have as many requests
// under way as there are places, wherever they come.
func TestReplicasSharePlaces(t *testing.T) {
	t.Parallel()
	const limit = 60
	for _, n := range []int{2, 3, 6} {
		t.Run(fmt.Sprint(n, " replicas"), func(t *testing.T) {
			t.Parallel()
			var places []*ratelimit.Places
			var talk []*ratelimit.Exchange
			for i := range n {
				places = append(places, ratelimit.NewPlaces(limit))
				talk = append(talk, ratelimit.NewExchange(strconv.Itoa(i), nil, map[string]*ratelimit.Places{"organization": places[i]}))
			}
			dead := -1
			now := start
			held := make([][]ratelimit.Place, n)
			// turn lets all tell each other, then each of those take what it can get.
			turn := func(wanted ...int) (total int) {
				now = now.Add(ratelimit.ReportEvery)
				for i := range talk {
					for _, m := range talk[i].Tick(now) {
						for j := range talk {
							if i != dead && j != dead {
								talk[j].Hear(m, now)
							}
						}
					}
				}
				for i := range n {
					// Requests end, the old ones first.
					for range min(len(held[i]), limit/6) {
						held[i][0].Leave()
						held[i] = held[i][1:]
					}
				}
				for i, w := range wanted {
					for len(held[i]) < w {
						place, ok := places[i].Take("org")
						if !ok {
							break
						}
						held[i] = append(held[i], place)
					}
				}
				for i := range n {
					if i != dead {
						total += len(held[i])
					}
				}
				return total
			}
			for range 5 {
				turn()
			}
			all := slices.Repeat([]int{limit}, n)
			if total := turn(all...); total > limit*12/10 {
				t.Errorf("%d are under way in the first moment, the limit is %d", total, limit)
			}
			reach := func(what string, wanted ...int) {
				t.Helper()
				for range 4 * 6 * n / 2 {
					turn(wanted...)
				}
				for range 20 {
					if total := turn(wanted...); total > limit*12/10 || total < limit*8/10 {
						t.Errorf("%s: %d are under way, the limit is %d", what, total, limit)
						return
					}
				}
			}
			reach("load on all", all...)
			reach("load on one", limit)
			reach("load on two", limit, limit/2)
			reach("load on all again", all...)
			dead = n - 1
			for range 20 {
				turn(all[:n-1]...)
			}
			reach("one is dead", all[:n-1]...)
			for i := range held {
				for _, place := range held[i] {
					place.Leave()
				}
				talk[i].Tick(now.Add(time.Minute)) // it hears nobody any more
				if left := places[i].Len(); left != 0 {
					t.Errorf("%d keys are remembered", left)
				}
			}
		})
	}
}

// A process that was held up hears of very much at once: that does not block
// its callers for longer than the burst takes, and a few seconds.
func TestLateReportsDoNotFreeze(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 100, Per: time.Second, Burst: 1000}
	l := mustLimiter(t, limit, 100)
	x := ratelimit.NewExchange("a", map[string]*ratelimit.Limiter{"organization": l}, nil)
	for i := range 10_000 {
		x.Hear(fmt.Sprintf(`{"from":"b","admitted":{"organization":{"org":%d}}}`, 1000+i), start)
	}
	if d := l.Take("org", start.Add(time.Second)); d.Allowed {
		t.Errorf("what others admitted does not count: %+v", d)
	}
	if d := l.Take("org", start.Add(5*time.Second)); !d.Allowed {
		t.Errorf("still refused after five seconds: %+v", d)
	}
}

func TestExchangeCountsWhoIsAlive(t *testing.T) {
	t.Parallel()
	a := ratelimit.NewExchange("a", nil, nil)
	b := ratelimit.NewExchange("b", nil, nil)
	tell := func(from, to *ratelimit.Exchange, now time.Time) int {
		messages := from.Tick(now)
		for _, m := range messages {
			to.Hear(m, now)
			from.Hear(m, now) // its own, which it leaves aside
		}
		return len(messages)
	}
	if n := tell(a, b, start); n != 1 {
		t.Errorf("a new process sends %d messages", n)
	}
	if n := tell(b, a, start); n != 1 || a.Replicas() != 2 || b.Replicas() != 2 {
		t.Errorf("after %d messages they count %d and %d", n, a.Replicas(), b.Replicas())
	}
	tell(a, b, start.Add(ratelimit.ReportEvery))
	for at := 2 * ratelimit.ReportEvery; at < time.Second; at += ratelimit.ReportEvery {
		if n := len(a.Tick(start.Add(at))); n != 0 {
			t.Errorf("%d messages after %v, with nothing to report", n, at)
		}
	}
	if n := len(a.Tick(start.Add(1500 * time.Millisecond))); n != 1 {
		t.Errorf("%d messages after a second of silence", n)
	}
	a.Tick(start.Add(4 * time.Second))
	if a.Replicas() != 1 {
		t.Errorf("a process that is silent for long counts: %d", a.Replicas())
	}
}

func TestExchangeLeavesAsideWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 10}, 100)
	x := ratelimit.NewExchange("a", map[string]*ratelimit.Limiter{"organization": l}, nil)
	for _, m := range []string{
		"", "{", "null", `"a"`, `{"admitted":{"organization":{"org":5}}}`, `{"from":"a","admitted":{"organization":{"org":5}}}`,
		`{"from":"b","admitted":{"organization":{"org":"5"}}}`, `{"from":"b","admitted":{"principal":{"org":5}}}`,
		`{"from":"b","admitted":{"organization":{"org":-5,"other":0}}}`, `{"from":"b","admitted":[]}`,
	} {
		x.Hear(m, start)
	}
	if d := l.Take("org", start); d.Remaining != 9 {
		t.Errorf("something was charged: %+v", d)
	}
	x.Hear(`{"from":"c","admitted":{"organization":{"org":5}},"new":1}`, start)
	if d := l.Take("org", start); d.Remaining != 3 {
		t.Errorf("a message of a newer version was not charged: %+v", d)
	}
}

// However many callers there are, and whatever their keys, messages stay small
// and tell of all of them in the end.
func TestMessagesAreSmall(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 100}
	l, other := mustLimiter(t, limit, 10_000), mustLimiter(t, limit, 10_000)
	x := ratelimit.NewExchange("a", map[string]*ratelimit.Limiter{"principal": l}, nil)
	y := ratelimit.NewExchange("b", map[string]*ratelimit.Limiter{"principal": other}, nil)
	x.Hear(`{"from":"b"}`, start)
	x.Tick(start)
	const callers = 2500
	key := func(i int) string { return fmt.Sprintf("9bb441c4-edef-46ac-8a41-c49e44a3fd9a/<\x01\"%d", i) }
	for i := range callers {
		for range 1 + i%3 {
			l.Take(key(i), start)
		}
	}
	for range 3 {
		for _, m := range x.Tick(start) {
			if len(m) > 7000 || !json.Valid([]byte(m)) {
				t.Fatalf("a message has %d bytes: %.100s", len(m), m)
			}
			y.Hear(m, start)
		}
	}
	for i := range callers {
		if d := other.Take(key(i), start); d.Remaining != 100-(1+i%3)-1 {
			t.Fatalf("caller %d made %d requests, and here are %d left", i, 1+i%3, d.Remaining)
		}
	}
	for _, m := range x.Tick(start) {
		if strings.Contains(m, "admitted") {
			t.Errorf("one more message: %.100s", m)
		}
	}
}

func FuzzHear(f *testing.F) {
	f.Add(`{"from":"b","admitted":{"organization":{"org":5}}}`)
	f.Add(`{"from":"b","admitted":{"organization":{"org":9223372036854775807}}}`)
	f.Fuzz(func(t *testing.T, m string) {
		l := mustLimiter(t, ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 100}, 10)
		x := ratelimit.NewExchange("a", map[string]*ratelimit.Limiter{"organization": l}, nil)
		x.Hear(m, start)
		x.Hear(m, start)
		x.Tick(start)
		if l.Len() > 10 || x.Replicas() > 2 {
			t.Fatalf("%d keys, %d replicas", l.Len(), x.Replicas())
		}
		if d := l.Take("org", start.Add(30*time.Second)); !d.Allowed {
			t.Fatalf("blocked for long: %+v", d)
		}
	})
}

// Where messages come late, each replica takes it that the others go on as it
// does: that does not let more in.
func TestLateMessagesLetNoMoreIn(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 20, Per: time.Second, Burst: 200}
	r := newReplicas(t, 3, limit, 800*time.Millisecond)
	for i := range 3 {
		r.load(i, 100, 4*time.Second, 60*time.Second)
	}
	_, total := r.during(4*time.Second, 8*time.Second)
	if most := limit.Burst + 4*limit.Requests; total > most*12/10 {
		t.Errorf("%d requests were served in four seconds, the limit allows %d", total, most)
	}
	r.want("late messages", 20*time.Second, 60*time.Second, limit.Requests)
}
