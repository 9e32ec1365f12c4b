package sqlstore

import (
	"slices"
	"sync"

	"github.com/weirhq/weir/internal/store"
)

// maxKeys is the greatest number of keys in one change. Who wrote more has
// changed everything, as far as caches are concerned.
const maxKeys = 1000

// feed tells the watchers of changes.
type feed struct {
	// kinds are those to tell of; nil means all.
	kinds []string
	watchers[store.Change]
	// hearers get what processes tell each other beside that.
	hearers watchers[string]
}

func newFeed(kinds []string) *feed { return &feed{kinds: slices.Clone(kinds)} }

func (f *feed) tell(c store.Change) {
	if c.All || len(c.Keys) > 0 {
		f.call(c)
	}
}

// watchers are functions that are called with what is told.
type watchers[T any] struct {
	// mu is held while they are called: calls come one after the other.
	mu  sync.Mutex
	all []*watcher[T]
}

type watcher[T any] struct{ call func(T) }

func (w *watchers[T]) add(call func(T)) (stop func()) {
	added := &watcher[T]{call}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, added)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = slices.DeleteFunc(w.all, func(other *watcher[T]) bool { return other == added })
	}
}

func (w *watchers[T]) call(told T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watcher := range w.all {
		watcher.call(told)
	}
}

// changes collects what a transaction writes, for the watchers and the cache.
type changes struct {
	store.Change
	feed   *feed
	writes *writes
}

// add is called before the commit that changes the row.
func (c *changes) add(org string, key store.Key) {
	c.writes.begin(org, key)
	if c.feed.kinds == nil || slices.Contains(c.feed.kinds, key.Kind) {
		c.merge(store.Change{Keys: []store.Key{key}})
	}
}

// merge adds what else is written.
func (c *changes) merge(more store.Change) {
	switch {
	case c.All:
	case more.All || len(c.Keys)+len(more.Keys) > maxKeys:
		c.Change = store.Change{All: true}
	default:
		c.Keys = append(c.Keys, more.Keys...)
	}
}

func (c *changes) empty() bool { return !c.All && len(c.Keys) == 0 }
