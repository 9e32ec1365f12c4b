package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	// gatherSenders is how many ways to the server are used at a time, and
	// maxGathered how many reads go together at most.
	gatherSenders = 4
	maxGathered   = 16
	// gatherTimeout bounds reads that go together, which nobody's context does.
	gatherTimeout = 10 * time.Second
)

// errGathered is told to reads whose companions may be to blame.
var errGathered = errors.New("reads that went together failed")

// gather lets reads of single rows go to the server together where many come at
// the same time: the way there and back takes more than the read. As long as a
// sender is free a read goes at once and alone. Those that come while all senders
// are on their way wait for the first to be back. Nothing is read before it was
// asked for.
type gather struct {
	backend *postgresBackend
	mu      sync.Mutex
	// free is how many senders have nothing to do.
	free    int
	waiting []*gathered
}

// gathered is a read that waits.
type gathered struct {
	statement
	answered bool
	done     chan error
}

func newGather(b *postgresBackend, senders int) *gather {
	return &gather{backend: b, free: senders}
}

// read runs a query that reads a row by its key. After an error row may still be
// called.
func (g *gather) read(ctx context.Context, s statement) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		defer g.next()
		return g.backend.readAlone(ctx, s)
	}
	r := &gathered{statement: s, done: make(chan error, 1)}
	r.end = func() error {
		r.answered = true
		return nil
	}
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	timer := time.NewTimer(acquireTimeout)
	defer timer.Stop()
	select {
	case err := <-r.done:
		if errors.Is(err, errGathered) {
			return g.backend.readAlone(ctx, s)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		g.backend.gate.suspect()
		return fmt.Errorf("%w: no answer within %s", store.ErrUnavailable, acquireTimeout)
	}
}

// next is for a sender that is back.
func (g *gather) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGathered)
	if n == 0 {
		g.free++
		return
	}
	together := g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	}
	go g.send(together)
}

// send runs reads together.
func (g *gather) send(together []*gathered) {
	defer g.next()
	ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
	defer cancel()
	// Each that has no answer asks again, alone, and finds out what is wrong.
	_ = g.backend.readTogether(ctx, together)
	for _, r := range together {
		if r.answered {
			r.done <- nil
		} else {
			r.done <- errGathered
		}
	}
}
