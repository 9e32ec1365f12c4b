package ratelimit

import (
	"container/heap"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Many shards keep concurrent callers apart; few keys in each would make the
	// uneven spread of hashes felt, so that small limiters have fewer shards.
	maxShards       = 64
	minKeysPerShard = 64
	// linePerShard bounds the places in line of all callers of a shard. Requests
	// that are refused beyond that are told when to come, but get none.
	linePerShard = 1024
)

// Limiter applies one limit to many callers, each known by a key of its own.
// It is safe for concurrent use.
//
// It remembers a bounded number of keys. Idle keys are forgotten when new ones
// come, which changes no decision. When all are active, the one that is closest
// to idle makes room. A cache that drops the least recently used key would let
// a flood of fresh addresses pardon a caller who is over the limit; in this
// order the fresh ones, which used one request each, push out each other.
type Limiter struct {
	limit        Limit
	seed         maphash.Seed
	keysPerShard int
	shards       []shard
	sharing      atomic.Pointer[Sharing]
}

// NewLimiter returns a limiter that remembers at most maxKeys keys. Since keys
// spread unevenly over its parts, it can begin to forget active keys a little
// before it holds that many.
func NewLimiter(limit Limit, maxKeys int) (*Limiter, error) {
	if err := limit.Validate(); err != nil {
		return nil, err
	}
	if maxKeys < 1 {
		return nil, fmt.Errorf("rate limiter is to remember %d keys: give at least 1", maxKeys)
	}
	n := min(max(maxKeys/minKeysPerShard, 1), maxShards)
	l := &Limiter{
		limit:        limit,
		seed:         maphash.MakeSeed(),
		keysPerShard: maxKeys / n,
		shards:       make([]shard, n),
	}
	for i := range l.shards {
		l.shards[i].callers = make(map[string]*caller)
	}
	l.sharing.Store(&Sharing{})
	return l, nil
}

// Take decides on one request of the caller with the key, who gets no place in
// line. The caller must keep keys to a sane length. For a key that is remembered
// it allocates nothing.
func (l *Limiter) Take(key string, now time.Time) Decision {
	d, _ := TakeAll(now, 0, Charge{l, key})
	return d
}

// Charge names one caller of one limiter.
type Charge struct {
	Limiter *Limiter
	Key     string
}

// maxCharges is the most that TakeAll takes.
const maxCharges = 2

// TakeAll decides on one request that several limits apply to. It counts against
// all of them or, where one refuses it, against none; at the tightest of those
// that refuse, it stands in line as [Limit.TakeInLine] says, by the tag, or not
// at all with the tag 0. The decision is that of the tightest limit, which the
// index of its charge tells, or -1 where no limit applies.
//
// There are two charges at most, of different limiters, and whoever charges the
// same limiters names them in the same order.
func TakeAll(now time.Time, tag uint64, charges ...Charge) (d Decision, tightest int) {
	var asked [maxCharges]struct {
		*shard
		*caller
		Decision
		how  int
		with Sharing
	}
	d, tightest = Decision{Allowed: true}, -1
	for i, c := range charges {
		if c.Limiter.limit == (Limit{}) {
			continue
		}
		a := &asked[i]
		a.shard, a.with = c.Limiter.shard(c.Key), *c.Limiter.sharing.Load()
		a.shard.mu.Lock()
		a.caller = a.shard.find(c.Key, now, c.Limiter.keysPerShard)
		a.Decision, a.how = c.Limiter.limit.look(now, &a.state, tag, a.with)
		if tightest < 0 || a.tighter(d) {
			d, tightest = a.Decision, i
		}
	}
	for i, c := range charges {
		a, limit := &asked[i], c.Limiter.limit
		if a.caller == nil || !d.Allowed && i != tightest {
			continue
		}
		owes := a.how == fresh
		if d.Allowed {
			limit.admit(now, &a.state, a.how, a.with)
		} else {
			place := tag
			if a.shard.line >= linePerShard {
				place = 0
			}
			owes = limit.stand(now, &a.state, place, a.with, &d)
		}
		if owes && a.with.Replicas > 1 {
			a.shard.count(a.caller, limit.reportFrom())
		}
		a.shard.changed(a.caller)
	}
	for i := range asked {
		if asked[i].shard != nil {
			asked[i].shard.mu.Unlock() // not deferred: in a loop that allocates
		}
	}
	return d, tightest
}

// tighter compares the decisions of two limits on one request.
func (d Decision) tighter(than Decision) bool {
	switch {
	case d.Allowed != than.Allowed:
		return !d.Allowed
	case !d.Allowed:
		return d.RetryAfter > than.RetryAfter
	default:
		return d.Remaining < than.Remaining
	}
}

func (l *Limiter) shard(key string) *shard {
	return &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
}

// Share says among how many processes the limit is shared from now on.
func (l *Limiter) Share(with Sharing) { l.sharing.Store(&with) }

// Usage is how many requests of a caller one process admitted or gave a place in
// line, since it told others last.
type Usage struct {
	Key      string
	Requests int
}

// reportFrom is the number of requests from which on others are told: a
// thousandth of the burst is nothing that they would feel.
func (l Limit) reportFrom() int { return max(l.Burst/1000, 1) }

// Report returns what is to be told to other processes, of at most so many
// callers, and takes it for told. The rest follows with the next report.
func (l *Limiter) Report(callers int) []Usage {
	var report []Usage
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n := min(len(s.untold), callers-len(report))
		for _, c := range s.untold[:n] {
			report = append(report, Usage{c.key, c.untold})
			c.untold, c.listed = 0, false
		}
		s.untold = slices.Delete(s.untold, 0, n)
		s.mu.Unlock()
	}
	return report
}

// Charge counts what another process reports.
func (l *Limiter) Charge(usage Usage, now time.Time) {
	if l.limit == (Limit{}) {
		return
	}
	s := l.shard(usage.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(usage.Key, now, l.keysPerShard)
	c.state = l.limit.Charge(now, c.state, usage.Requests, *l.sharing.Load())
	s.changed(c)
}

// Peek returns what Take would decide, and counts nothing. It serves where only
// some requests count, which show later: attempts that fail.
func (l *Limiter) Peek(key string, now time.Time) Decision {
	if l.limit == (Limit{}) {
		return Decision{Allowed: true}
	}
	s, with := l.shard(key), *l.sharing.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.callers[key]
	if c == nil {
		d, _ := l.limit.look(now, &State{}, 0, with)
		return d
	}
	d, _ := l.limit.look(now, &c.state, 0, with)
	s.changed(c)
	return d
}

// Len returns how many keys are remembered right now.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.callers)
		s.mu.Unlock()
	}
	return n
}

// shard holds the callers whose keys hash to it, by key and in the order in
// which they become idle.
type shard struct {
	mu      sync.Mutex
	callers map[string]*caller
	byIdle  idleQueue
	// line is the number of places in line of all callers.
	line int
	// untold are the callers of whose requests others should be told.
	untold []*caller
}

type caller struct {
	key   string
	state State
	index int // in the idleQueue
	// line is len(state.line) as it is in the shard's sum.
	line int
	// untold is the number of requests that others were not told of; listed is
	// whether the caller is in shard.untold.
	untold int
	listed bool
}

// find returns the caller with the key, remembered from now on.
func (s *shard) find(key string, now time.Time, limit int) *caller {
	c := s.callers[key]
	if c == nil {
		s.makeRoom(now, limit)
		// The key may be cut from a longer string, which must not be kept alive.
		c = &caller{key: strings.Clone(key)}
		s.callers[c.key] = c
		heap.Push(&s.byIdle, c)
	}
	return c
}

// makeRoom forgets all callers who are idle, and if that leaves no room for
// one more, the one who would be idle first.
func (s *shard) makeRoom(now time.Time, limit int) {
	for len(s.byIdle) > 0 && (len(s.byIdle) >= limit || s.byIdle[0].state.Idle(now)) {
		c := heap.Pop(&s.byIdle).(*caller)
		s.line -= c.line
		delete(s.callers, c.key)
	}
}

// changed follows a change of the caller's state.
func (s *shard) changed(c *caller) {
	s.line += len(c.state.line) - c.line
	c.line = len(c.state.line)
	heap.Fix(&s.byIdle, c.index)
}

// count notes a request to tell others of. The list is bounded where nobody
// takes the reports.
func (s *shard) count(c *caller, from int) {
	if c.untold++; c.untold >= from && !c.listed && len(s.untold) <= len(s.byIdle) {
		c.listed = true
		s.untold = append(s.untold, c)
	}
}

// idleQueue is a heap with the caller who becomes idle first on top.
type idleQueue []*caller

func (q idleQueue) Len() int           { return len(q) }
func (q idleQueue) Less(i, j int) bool { return q[i].state.idleAt.Before(q[j].state.idleAt) }
func (q idleQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *idleQueue) Push(x any) {
	c := x.(*caller)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *idleQueue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return c
}
