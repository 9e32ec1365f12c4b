package ratelimit

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
)

// Places bound how many requests of each key are under way at once. They
// remember nothing of a key that has none under way, so that their memory is
// bounded by the number of requests. They are safe for concurrent use.
type Places struct {
	limit  int
	seed   maphash.Seed
	shards [maxShards]placesShard
}

type placesShard struct {
	mu   sync.Mutex
	keys map[string]places
}

// places are those of one key.
type places struct {
	taken int
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
	return p
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
	return Place{s, key}, s.take(key, p.limit)
}

// Wait waits for a place, behind those who wait already. Its error is that of
// the context, when that ends first.
func (p *Places) Wait(ctx context.Context, key string) (Place, error) {
	if err := ctx.Err(); err != nil || p.limit == 0 {
		return Place{}, err
	}
	s := p.shard(key)
	s.mu.Lock()
	if s.take(key, p.limit) {
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
	case of.taken > 1:
		of.taken--
	default:
		delete(p.shard.keys, p.key)
		return
	}
	p.shard.keys[p.key] = of
}

// Len returns how many keys have requests that have a place or wait for one.
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
func (s *placesShard) take(key string, limit int) bool {
	of := s.keys[key]
	if of.taken >= limit {
		return false
	}
	of.taken++
	s.keys[key] = of
	return true
}
