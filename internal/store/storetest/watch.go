package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// promise is the second within which a watch tells of what others change, and
// what a busy machine may add to it.
const promise = 3 * time.Second

// record keeps what a watch tells of the bench's own kinds. The other tests
// write to the same store.
type record struct {
	kind  string
	mu    sync.Mutex
	keys  []store.Key
	all   int
	calls atomic.Int32
}

func (r *record) tell(c store.Change) {
	if r.calls.Add(1) != 1 {
		panic("a watcher is called while it is called")
	}
	defer r.calls.Add(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range c.Keys {
		if strings.HasPrefix(key.Kind, r.kind) {
			r.keys = append(r.keys, key)
		}
	}
	if c.All {
		r.all++
	}
}

// take returns the keys told since the last call.
func (r *record) take() []store.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys
	r.keys = nil
	return keys
}

func (r *record) alls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (b *bench) watch(s store.Store) *record {
	r := &record{kind: b.kind}
	b.Cleanup(s.Watch(r.tell))
	return r
}

func (b *bench) wantTold(what string, r *record, want ...string) {
	b.Helper()
	var got []string
	for _, key := range r.take() {
		got = append(got, key.ID)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		b.Errorf("%s: told %v, want %v", what, got, want)
	}
}

func toldBeforeReturn(b *bench) {
	first, second := b.watch(b), b.watch(b)
	check := func(what string, want ...string) {
		b.Helper()
		b.wantTold(what, first, want...)
		b.wantTold(what, second, want...)
	}
	r := b.row("a-1", "name")
	b.mustInsert(r)
	check("insert", "a-1")
	if err := b.replace(r); err != nil {
		b.Fatal(err)
	}
	check("update", "a-1")
	r.Name = "another"
	if err := b.replace(r); err != nil {
		b.Fatal(err)
	}
	check("rename", "a-1")
	b.mustRemove("a-1")
	check("delete", "a-1")
	b.add("b-1", "b-2", "b-3")
	check("several", "b-1", "b-2", "b-3")

	b.update(func(tx store.Tx) error {
		if _, err := tx.Lock(b.ctx, b.org, b.key("b-1")); err != nil {
			return err
		}
		if _, err := tx.Pin(b.ctx, b.org, b.key("b-2")); err != nil {
			return err
		}
		_, err := tx.PutSetting(b.ctx, b.kind, []byte("value"))
		return err
	})
	check("nothing but locks and a setting")
	var inserted, removed error
	b.update(func(tx store.Tx) error {
		inserted = tx.Insert(b.ctx, b.row("b-1", ""), nil)
		removed = tx.Delete(b.ctx, b.key("missing"), time.Now())
		return tx.Delete(b.ctx, b.key("b-3"), time.Now())
	})
	if taken := (*store.ErrTaken)(nil); !errors.As(inserted, &taken) {
		b.Errorf("error %v, want *ErrTaken", inserted)
	}
	if !errors.Is(removed, store.ErrNotFound) {
		b.Errorf("error %v, want ErrNotFound", removed)
	}
	check("one write among those that were refused", "b-3")
}

func rolledBackIsNotTold(b *bench) {
	r := b.watch(b)
	boom := errors.New("boom")
	_ = b.Store.Update(b.ctx, func(tx store.Tx) error {
		return errors.Join(tx.Insert(b.ctx, b.row("a-1", ""), nil), boom)
	})
	func() {
		defer func() { _ = recover() }()
		_ = b.Store.Update(b.ctx, func(tx store.Tx) error {
			if err := tx.Insert(b.ctx, b.row("a-2", ""), nil); err != nil {
				b.Error(err)
			}
			panic("boom")
		})
	}()
	b.wantTold("failures alone", r)
	// Each of those that may share a commit knows its own by its return.
	var mu sync.Mutex
	told := make(map[string]bool)
	b.Cleanup(b.Watch(func(c store.Change) {
		mu.Lock()
		defer mu.Unlock()
		for _, key := range c.Keys {
			if key.Kind == b.kind {
				told[key.ID] = true
			}
		}
	}))
	for i, err := range together(60, func(i int) error {
		id := fmt.Sprint("b-", i)
		err := b.Store.Update(b.ctx, func(tx store.Tx) error {
			if err := tx.Insert(b.ctx, b.row(id, ""), nil); err != nil || i%3 > 0 {
				return err
			}
			return boom
		})
		mu.Lock()
		defer mu.Unlock()
		if (err == nil) != told[id] {
			return fmt.Errorf("told %v with error %w", told[id], err)
		}
		return nil
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	for i := 0; i < 60; i += 3 {
		if told[fmt.Sprint("b-", i)] {
			b.Errorf("%d was rolled back and told", i)
		}
	}
}

// manyChanges writes more at once than is listed.
func manyChanges(b *bench) {
	r := b.watch(b)
	before := r.alls()
	b.add(ids("a", 1500)...)
	if got := r.alls(); got == before {
		b.Errorf("after 1500 writes at once it is not said that anything may have changed")
	}
}

func watchEnds(b *bench) {
	var calls, after atomic.Int32
	var ended atomic.Bool
	stop := b.Watch(func(store.Change) {
		calls.Add(1)
		if ended.Load() {
			after.Add(1)
		}
	})
	other := b.watch(b)
	b.add("a-1")
	if calls.Load() == 0 {
		b.Error("nothing was told")
	}
	var writes sync.WaitGroup
	for i := range 20 {
		writes.Go(func() { b.add(fmt.Sprint("b-", i)) })
	}
	stop()
	ended.Store(true)
	writes.Wait()
	stop() // again does nothing
	other.take()
	b.add("a-2")
	if n := after.Load(); n != 0 {
		b.Errorf("%d calls after the end", n)
	}
	b.wantTold("another watch goes on", other, "a-2")
}

// cache holds one row's body and forgets it when it is told to, as those that
// the watch is for do.
type cache struct {
	*bench
	store.Store
	key   store.Key
	stale atomic.Bool
	body  string
}

func (b *bench) cache(s store.Store, id string) *cache {
	c := &cache{bench: b, Store: s, key: b.key(id)}
	c.stale.Store(true)
	b.Cleanup(s.Watch(func(change store.Change) {
		if change.All || slices.Contains(change.Keys, c.key) {
			c.stale.Store(true)
		}
	}))
	return c
}

func (c *cache) get() string {
	if c.stale.Swap(false) {
		row, err := c.Store.Get(c.ctx, c.org, c.key)
		if err != nil {
			c.Fatal(err)
		}
		c.body = string(row.Body)
	}
	return c.body
}

// othersChanges writes through one handle and reads through a cache over
// another, in both directions.
func othersChanges(b *bench) {
	b.add("a-1")
	handles := []store.Store{b.Store, b.other}
	caches := []*cache{b.cache(handles[0], "a-1"), b.cache(handles[1], "a-1")}
	for round := range 6 {
		want := fmt.Sprint("round ", round)
		if err := handles[round%2].Update(b.ctx, func(tx store.Tx) error {
			r, err := tx.Lock(b.ctx, b.org, b.key("a-1"))
			if err != nil {
				return err
			}
			r.Body = []byte(want)
			return tx.Update(b.ctx, r, nil)
		}); err != nil {
			b.Fatal(err)
		}
		if got := caches[round%2].get(); got != want {
			b.Errorf("the writer's own cache has %q after its Update, want %q", got, want)
		}
		for began := time.Now(); caches[1-round%2].get() != want; time.Sleep(time.Millisecond) {
			if time.Since(began) > promise {
				b.Fatalf("the other's cache has %q after %v, want %q", caches[1-round%2].get(), promise, want)
			}
		}
	}
}
