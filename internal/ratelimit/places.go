package ratelimit

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
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
	keys map[string]*places
}

// places are those of one key.
type places struct {
	key  string
	free *semaphore.Weighted
	// users are the requests that have a place or want one.
	users int
}

// NewPlaces returns places for so many requests of each key; 0 is no limit.
func NewPlaces(limit int) *Places {
	p := &Places{limit: limit, seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].keys = make(map[string]*places)
	}
	return p
}

// Place is one request's; the zero Place is that of one that needs none.
type Place struct {
	shard *placesShard
	of    *places
}

// Limit returns how many requests of each key can be under way; 0 is no limit.
func (p *Places) Limit() int { return p.limit }

// Take returns a place, which must be left in the end, or false if none is free.
func (p *Places) Take(key string) (Place, bool) {
	if p.limit == 0 {
		return Place{}, true
	}
	place := p.enter(key)
	if !place.of.free.TryAcquire(1) {
		place.exit()
		return Place{}, false
	}
	return place, true
}

// Wait waits for a place, behind those who wait already. Its error is that of
// the context, when that ends first.
func (p *Places) Wait(ctx context.Context, key string) (Place, error) {
	if p.limit == 0 {
		return Place{}, nil
	}
	place := p.enter(key)
	if err := place.of.free.Acquire(ctx, 1); err != nil {
		place.exit()
		return Place{}, err
	}
	return place, nil
}

// Leave gives the place to others. It must be called once.
func (p Place) Leave() {
	if p.of != nil {
		p.of.free.Release(1)
		p.exit()
	}
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

func (p *Places) enter(key string) Place {
	s := &p.shards[maphash.String(p.seed, key)%maxShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.keys[key]
	if of == nil {
		of = &places{key: strings.Clone(key), free: semaphore.NewWeighted(int64(p.limit))}
		s.keys[of.key] = of
	}
	of.users++
	return Place{s, of}
}

func (p Place) exit() {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if p.of.users--; p.of.users == 0 {
		delete(p.shard.keys, p.of.key)
	}
}
