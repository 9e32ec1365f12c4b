package ratelimit

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// maxIdleKeys bounds the keys of a shard that are remembered with nothing under
// way, where processes share the places.
const maxIdleKeys = 1000

// Places bound how many requests of each key are under way at once. They
// remember nothing of a key that has had none under way for a moment, so that their
// memory is bounded by the number of requests. They are safe for concurrent use.
type Places struct {
	limit  int
	seed   maphash.Seed
	shards [maxShards]placesShard
	others atomic.Pointer[others]
}

// others is what is known of the processes that share the places.
type others struct {
	Sharing
	// taken are the places that they have taken, by key.
	taken map[string]int
}

type placesShard struct {
	mu   sync.Mutex
	keys map[string]places
}

// places are those of one key.
type places struct {
	taken int
	// peak is the most that was taken at once in the epoch, base in the one before.
	peak, base int
	epoch      uint64
	// queue are those who wait, in the order in which they came; a channel is
	// closed when its place is given.
	queue []chan struct{}
}

// NewPlaces returns places for so many requests of each key; 0 is no limit.
func NewPlaces(limit int) *Places {
	p := &Places{limit: limit, seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].keys = make(map[string]places)
	}
	p.others.Store(&others{})
	return p
}

// Share says among how many processes the places are shared from now on, and how
// many of each key the others have taken. Each process may take its part of what
// is free then, besides what it has, and its part of the whole in any case: who
// has more gives way as its requests end.
func (p *Places) Share(with Sharing, taken map[string]int) {
	p.others.Store(&others{with, taken})
}

// Taken returns how many places were taken at once in the last epoch, at most, of
// so many keys, and forgets keys that had none.
func (p *Places) Taken(keys int) []Usage {
	var taken []Usage
	with := p.others.Load().Sharing
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		for key, of := range s.keys {
			if with.Replicas > 1 {
				of.begin(with.Epoch)
			} else {
				of.base, of.peak, of.epoch = 0, 0, 0
			}
			s.keys[key] = of
			if of.taken == 0 && of.base == 0 {
				delete(s.keys, key)
			} else if len(taken) < keys {
				taken = append(taken, Usage{key, of.base})
			}
		}
		s.mu.Unlock()
	}
	return taken
}

// Place is one request's; the zero Place is that of one that needs none.
type Place struct {
	shard *placesShard
	key   string
}

// Limit returns how many requests of each key can be under way; 0 is no limit.
func (p *Places) Limit() int { return p.limit }

// Take returns a place, which must be left in the end, or false if none is free.
func (p *Places) Take(key string) (Place, bool) {
	if p.limit == 0 {
		return Place{}, true
	}
	s := p.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return Place{s, key}, s.take(key, p)
}

// Wait waits for a place, behind those who wait already. Its error is that of
// the context, when that ends first.
func (p *Places) Wait(ctx context.Context, key string) (Place, error) {
	if err := ctx.Err(); err != nil || p.limit == 0 {
		return Place{}, err
	}
	s := p.shard(key)
	s.mu.Lock()
	if s.take(key, p) {
		s.mu.Unlock()
		return Place{s, key}, nil
	}
	given := make(chan struct{})
	of := s.keys[key]
	of.queue = append(of.queue, given)
	s.keys[key] = of
	s.mu.Unlock()
	select {
	case <-given:
		return Place{s, key}, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	of = s.keys[key]
	if i := slices.Index(of.queue, given); i >= 0 {
		of.queue = slices.Delete(of.queue, i, i+1)
		s.keys[key] = of
		s.mu.Unlock()
	} else { // it was given at the same time
		s.mu.Unlock()
		Place{s, key}.Leave()
	}
	return Place{}, ctx.Err()
}

// Leave gives the place to who waits the longest, or sets it free. It must be
// called once.
func (p Place) Leave() {
	if p.shard == nil {
		return
	}
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	of := p.shard.keys[p.key]
	switch {
	case len(of.queue) > 0:
		close(of.queue[0])
		of.queue = slices.Delete(of.queue, 0, 1)
	case of.taken > 1 || of.epoch > 0 && len(p.shard.keys) <= maxIdleKeys:
		of.taken--
	default:
		delete(p.shard.keys, p.key)
		return
	}
	p.shard.keys[p.key] = of
}

// Len returns how many keys are remembered: those of requests that have a place or
// wait for one and, where processes share the places, of requests of a moment ago.
func (p *Places) Len() int {
	n := 0
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}

func (p *Places) shard(key string) *placesShard {
	return &p.shards[maphash.String(p.seed, key)%maxShards]
}

// take takes a place if one is free. While others wait none is.
func (s *placesShard) take(key string, p *Places) bool {
	of, limit := s.keys[key], p.limit
	if others := p.others.Load(); others.Replicas > 1 {
		of.begin(others.Epoch)
		free := limit - of.base - others.taken[key]
		limit = min(max(of.base+free/others.Replicas, limit/others.Replicas, 1), limit)
	}
	if of.taken >= limit {
		return false
	}
	of.taken++
	of.peak = max(of.peak, of.taken)
	s.keys[key] = of
	return true
}

// begin begins an epoch, if it is another one.
func (of *places) begin(epoch uint64) {
	if of.epoch != epoch {
		of.epoch, of.base, of.peak = epoch, of.peak, of.taken
	}
}
