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
	// mu is held while the watchers are called: calls come one after the other.
	mu       sync.Mutex
	watchers []*watcher
}

type watcher struct{ call func(store.Change) }

func newFeed(kinds []string) *feed { return &feed{kinds: slices.Clone(kinds)} }

func (f *feed) add(call func(store.Change)) (stop func()) {
	w := &watcher{call}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = append(f.watchers, w)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(other *watcher) bool { return other == w })
	}
}

func (f *feed) tell(c store.Change) {
	if !c.All && len(c.Keys) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		w.call(c)
	}
}

// changes collects what a transaction writes.
type changes struct {
	store.Change
	feed *feed
}

func (c *changes) add(key store.Key) {
	switch {
	case c.All || c.feed.kinds != nil && !slices.Contains(c.feed.kinds, key.Kind):
	case len(c.Keys) == maxKeys:
		c.Change = store.Change{All: true}
	default:
		c.Keys = append(c.Keys, key)
	}
}

func (c *changes) empty() bool { return !c.All && len(c.Keys) == 0 }
