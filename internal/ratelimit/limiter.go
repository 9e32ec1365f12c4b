package ratelimit

import (
	"container/heap"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// Many shards keep concurrent callers apart; few keys in each would make the
// uneven spread of hashes felt, so that small limiters have fewer shards.
const (
	maxShards       = 64
	minKeysPerShard = 64
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
	return l, nil
}

// Take decides on one request of the caller with the key. The caller must keep
// keys to a sane length. For a key that is remembered it allocates nothing.
func (l *Limiter) Take(key string, now time.Time) Decision {
	if l.limit == (Limit{}) {
		return Decision{Allowed: true}
	}
	s := &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.callers[key]
	if c == nil {
		s.makeRoom(now, l.keysPerShard)
		// The key may be cut from a longer string, which must not be kept alive.
		c = &caller{key: strings.Clone(key)}
		s.callers[c.key] = c
		heap.Push(&s.byIdle, c)
	}
	d, state := l.limit.Take(now, c.state)
	if d.Allowed {
		c.state = state
		heap.Fix(&s.byIdle, c.index)
	}
	return d
}

// Peek returns what Take would decide, and counts nothing. It serves where only
// some requests count, which show later: attempts that fail.
func (l *Limiter) Peek(key string, now time.Time) Decision {
	if l.limit == (Limit{}) {
		return Decision{Allowed: true}
	}
	s := &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	var state State
	if c := s.callers[key]; c != nil {
		state = c.state
	}
	d, _ := l.limit.Take(now, state)
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
}

// makeRoom forgets all callers who are idle, and if that leaves no room for
// one more, the one who would be idle first.
func (s *shard) makeRoom(now time.Time, limit int) {
	for len(s.byIdle) > 0 && (len(s.byIdle) >= limit || s.byIdle[0].state.Idle(now)) {
		c := heap.Pop(&s.byIdle).(*caller)
		delete(s.callers, c.key)
	}
}

type caller struct {
	key   string
	state State
	index int // in the idleQueue
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
