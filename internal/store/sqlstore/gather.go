package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// readPatience and writePatience are how long one waits for a sender: one that takes
	// longer may not come back. To commit takes long on a slow disk.
	readPatience  = 100 * time.Millisecond
	writePatience = 500 * time.Millisecond
	// gatherTimeout bounds what goes together, which nobody's context does.
	gatherTimeout = time.Second
)

// errGathered is told to those whose companions may be to blame, and that go again
// alone.
var errGathered = errors.New("what went together failed")

// gather lets what many ask for at the same time go to the database together. As
// long as a sender is free one goes at once and alone. Those that come while all
// senders are on their way wait for the first to be back, but not for long.
type gather[T any] struct {
	// alone does what is asked for.
	alone func(context.Context, T) error
	// together does what several ask for, and tells how it went for each: errGathered
	// where it may go otherwise alone.
	together func(context.Context, []T) []error
	// ready returns an error while nothing may be asked.
	ready func() error
	// senders is how many go at a time, and most how many of those that wait one takes.
	senders, most int
	// bound says that who is on the way waits for the outcome.
	bound bool
	// patience is how long one waits for a sender.
	patience time.Duration
	mu       sync.Mutex
	// free is how many senders have nothing to do.
	free    int
	waiting []*gathered[T]
}

// gathered is one that waits.
type gathered[T any] struct {
	asked T
	done  chan error
}

// start makes the senders ready.
func (g *gather[T]) start() *gather[T] {
	g.free = g.senders
	return g
}

// do returns how it went, or errGathered when it is to be done alone.
func (g *gather[T]) do(ctx context.Context, asked T) error {
	if err := g.ready(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return g.lone(ctx, asked)
	}
	w := &gathered[T]{asked, make(chan error, 1)}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	return g.wait(ctx, w)
}

// lone is a sender with one.
func (g *gather[T]) lone(ctx context.Context, asked T) error {
	defer g.next()
	return g.alone(ctx, asked)
}

func (g *gather[T]) wait(ctx context.Context, w *gathered[T]) error {
	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	for {
		select {
		case err := <-w.done:
			return err
		case <-ctx.Done():
			if !g.leave(w) && g.bound {
				return <-w.done
			}
			return ctx.Err()
		case <-patience.C:
			if g.leave(w) {
				// It takes the place of a sender that may not come back.
				return g.lone(ctx, w.asked)
			}
		}
	}
}

// leave takes one back, and reports whether it was still waiting for a sender.
func (g *gather[T]) leave(w *gathered[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// next is for a sender that is back.
func (g *gather[T]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), g.most)
	if n == 0 {
		// There may have been more than planned, when some did not come back.
		g.free = min(g.free+1, g.senders)
		return
	}
	waited := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	go g.send(waited)
}

func (g *gather[T]) send(waited []*gathered[T]) {
	defer g.next()
	ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
	defer cancel()
	all := make([]T, len(waited))
	for i, w := range waited {
		all[i] = w.asked
	}
	for i, err := range g.together(ctx, all) {
		waited[i].done <- err
	}
}
