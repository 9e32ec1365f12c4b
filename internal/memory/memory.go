// Package memory remembers what was read from the store until the store says
// that it changed. Whoever makes a [Memory] has it told of changes.
package memory

import (
	"context"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/store"
)

// Reach says what a change to a row of some kind makes a Memory forget.
type Reach int

// The reaches.
const (
	// Same forgets what is remembered under the row's own ID.
	Same Reach = iota
	// Everything forgets all that is remembered: for what cannot be told from
	// the row's ID alone.
	Everything
)

// Memory holds answers under keys. It is bounded: what was not asked for the
// longest goes first. That there is nothing under a key is remembered too, in a
// part of its own, so that a flood of made-up keys pushes out no real ones.
//
// All methods may be called from several goroutines.
type Memory[K comparable, V any] struct {
	load    func(context.Context, K) (V, error)
	reaches map[string]Reach
	key     func(id string) K

	generation store.Generation
	known      *lru.Cache[K, V]
	unknown    *lru.Cache[K, struct{}]
}

// New returns a Memory of at most size answers, and as many keys without one.
// load reads an answer; store.ErrNotFound is remembered, other errors are not.
// reaches says by the kind of a changed row what to forget, and key turns the ID
// of such a row into a key; it may be nil where no reach is Same.
func New[K comparable, V any](size int, load func(context.Context, K) (V, error), reaches map[string]Reach, key func(id string) K) *Memory[K, V] {
	known, err := lru.New[K, V](size)
	unknown, err2 := lru.New[K, struct{}](size)
	if err := errors.Join(err, err2); err != nil {
		panic(fmt.Sprintf("memory: %v", err)) // sizes are constants above zero
	}
	return &Memory[K, V]{load: load, reaches: reaches, key: key, known: known, unknown: unknown}
}

// Get returns what is under the key: what is remembered, or else what load
// reads.
func (m *Memory[K, V]) Get(ctx context.Context, key K) (V, error) {
	if v, ok := m.known.Get(key); ok {
		return v, nil
	}
	if m.unknown.Contains(key) {
		var none V
		return none, store.ErrNotFound
	}
	since := m.generation.Now()
	v, err := m.load(ctx, key)
	switch {
	case err == nil:
		m.generation.Remember(since, func() { m.known.Add(key, v) })
	case errors.Is(err, store.ErrNotFound):
		m.generation.Remember(since, func() { m.unknown.Add(key, struct{}{}) })
	}
	return v, err
}

// Changed forgets what the change touches; it is for the store's feed of
// changes. It is quick.
func (m *Memory[K, V]) Changed(c store.Change) {
	if c.All {
		m.generation.Forget(m.purge)
		return
	}
	for _, key := range c.Keys {
		reach, ok := m.reaches[key.Kind]
		switch {
		case !ok:
		case reach == Everything:
			m.generation.Forget(m.purge)
		default:
			m.generation.Forget(func() {
				m.known.Remove(m.key(key.ID))
				m.unknown.Remove(m.key(key.ID))
			})
		}
	}
}

func (m *Memory[K, V]) purge() {
	m.known.Purge()
	m.unknown.Purge()
}
