package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Pending collects which objects of one kind a worker is to look at: those that
// changed, or all of them, as at the beginning. Its methods may be called from
// several goroutines.
type Pending struct {
	kind string
	wake chan struct{}

	mu      sync.Mutex
	changed map[string]bool
	all     bool
}

// NewPending returns the Pending for a kind. Whoever makes it has it told of
// changes, with Note.
func NewPending(kind string) *Pending {
	return &Pending{kind: kind, wake: make(chan struct{}, 1), changed: map[string]bool{}, all: true}
}

// Note adds what the change touches. It is quick.
func (p *Pending) Note(c Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = p.all || c.All
	for _, key := range c.Keys {
		if key.Kind == p.kind {
			p.changed[key.ID] = true
		}
	}
	if p.all || len(p.changed) > 0 {
		select {
		case p.wake <- struct{}{}:
		default: // the worker is going to look anyway
		}
	}
}

// All adds every object of the kind.
func (p *Pending) All() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = true
}

// Take returns the IDs of what was added, in no order, and forgets them. With
// all it is every object of the kind.
func (p *Pending) Take() (ids []string, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids, all = slices.Collect(maps.Keys(p.changed)), p.all
	p.changed, p.all = map[string]bool{}, false
	return ids, all
}

// Wait returns when there is something to look at: what Note added or, at a tick,
// all. It reports false once the context has ended.
func (p *Pending) Wait(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-p.wake:
	case <-tick:
		p.All()
	}
	return true
}
