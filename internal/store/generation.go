package store

import "sync"

// Generation orders the filling of a cache against what makes it forget: what
// was read before a change must not be remembered after it (see
// [Store.Watch]). It counts the changes. The zero value is ready for use.
type Generation struct {
	mu sync.Mutex
	n  uint64
}

// Now returns the current generation, to be taken before reading what is to
// be remembered.
func (g *Generation) Now() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// Forget begins a new generation and runs forget, which must be quick.
func (g *Generation) Forget(forget func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
	forget()
}

// Remember runs fill, which must be quick, unless a new generation began since
// the one given, and reports whether it did.
func (g *Generation) Remember(since uint64, fill func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n != since {
		return false
	}
	fill()
	return true
}
