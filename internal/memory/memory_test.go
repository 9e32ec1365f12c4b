package memory_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/memory"
	"github.com/weirhq/weir/internal/store"
)

// shelf counts what is read of it, and can be changed while it is.
type shelf struct {
	mu      sync.Mutex
	values  map[string]string
	reads   int
	reading func()
}

func (s *shelf) load(_ context.Context, key string) (string, error) {
	s.mu.Lock()
	s.reads++
	v, ok := s.values[key]
	reading := s.reading
	s.mu.Unlock()
	if reading != nil {
		reading()
	}
	switch {
	case key == "broken":
		return "", errors.New("broken")
	case !ok:
		return "", store.ErrNotFound
	}
	return v, nil
}

func newMemory(size int, values map[string]string) (*shelf, *memory.Memory[string, string]) {
	s := &shelf{values: values}
	return s, memory.New(size, s.load, map[string]memory.Reach{"one": memory.Same, "all": memory.Everything}, func(id string) string { return id })
}

func changed(kind, id string) store.Change {
	return store.Change{Keys: []store.Key{{Kind: kind, ID: id}}}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	s, m := newMemory(10, map[string]string{"a": "1", "b": "2"})
	want := func(key, value string, reads int) {
		t.Helper()
		before := s.reads
		got, err := m.Get(t.Context(), key)
		if got != value || (value == "") != errors.Is(err, store.ErrNotFound) || s.reads-before != reads {
			t.Errorf("%s is %q, %v with %d reads, want %q with %d", key, got, err, s.reads-before, value, reads)
		}
	}
	for reads := 1; reads >= 0; reads-- { // the second time nothing is read
		want("a", "1", reads)
		want("b", "2", reads)
		want("c", "", reads)
	}
	s.values = map[string]string{"a": "3", "b": "4", "c": "5"}
	m.Changed(changed("none", "a"))
	want("a", "1", 0)
	m.Changed(changed("one", "a"))
	want("a", "3", 1)
	want("b", "2", 0)
	want("c", "", 0)
	m.Changed(changed("one", "c"))
	want("c", "5", 1)
	m.Changed(changed("all", "x"))
	want("b", "4", 1)
	m.Changed(store.Change{All: true})
	want("b", "4", 1)
	// What failed is not remembered.
	for range 2 {
		before := s.reads
		if _, err := m.Get(t.Context(), "broken"); err == nil || s.reads != before+1 {
			t.Errorf("a failure: %v, %d reads", err, s.reads-before)
		}
	}
}

// What was read before a change is not remembered after it.
func TestMemoryWhileThingsChange(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"one", "all"} {
		s, m := newMemory(10, map[string]string{"a": "1"})
		s.reading = func() {
			s.mu.Lock()
			s.values["a"], s.reading = "2", nil
			s.mu.Unlock()
			m.Changed(changed(kind, "a"))
		}
		if v, err := m.Get(t.Context(), "a"); v != "1" || err != nil {
			t.Errorf("%s: the read under way is %q, %v", kind, v, err)
		}
		if v, err := m.Get(t.Context(), "a"); v != "2" || err != nil {
			t.Errorf("%s: afterwards it is %q, %v", kind, v, err)
		}
	}
}

// Keys without a value push out none that have one.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s, m := newMemory(10, map[string]string{"a": "1"})
	_, _ = m.Get(t.Context(), "a")
	for i := range 100 {
		_, _ = m.Get(t.Context(), strconv.Itoa(i))
	}
	before := s.reads
	if v, _ := m.Get(t.Context(), "a"); v != "1" || s.reads != before {
		t.Error("made-up keys push out a real one")
	}
	if _, err := m.Get(t.Context(), "0"); !errors.Is(err, store.ErrNotFound) || s.reads != before+1 {
		t.Error("all of them are remembered")
	}
}
