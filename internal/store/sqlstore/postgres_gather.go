package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// gatherSenders is how many ways to the server are used at a time, and
	// maxGathered how many reads go together at most.
	gatherSenders = 4
	maxGathered   = 16
	// gatherPatience is how long a read waits for a sender: one that takes longer may
	// not come back.
	gatherPatience = 100 * time.Millisecond
	// gatherTimeout bounds reads that go together, which nobody's context does.
	gatherTimeout = time.Second
)

// errGathered is told to reads whose companions may be to blame.
var errGathered = errors.New("reads that went together failed")

// gather lets reads of single rows go to the server together where many come at
// the same time: the way there and back takes more than the read. As long as a
// sender is free a read goes at once and alone. Those that come while all senders
// are on their way wait for the first to be back, but not for long. Nothing is
// read before it was asked for.
type gather struct {
	backend  *postgresBackend
	senders  int
	patience time.Duration
	mu       sync.Mutex
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
	return &gather{backend: b, senders: senders, patience: gatherPatience, free: senders}
}

// read runs a query that reads a row by its key. After an error row may still be
// called.
func (g *gather) read(ctx context.Context, s statement) error {
	if err := g.backend.gate.pass(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return g.alone(ctx, s)
	}
	r := &gathered{statement: s, done: make(chan error, 1)}
	r.end = func() error {
		r.answered = true
		return nil
	}
	g.waiting = append(g.waiting, r)
	g.mu.Unlock()
	return g.wait(ctx, r)
}

// alone is a sender with one read.
func (g *gather) alone(ctx context.Context, s statement) error {
	defer g.next()
	return g.backend.readAlone(ctx, s)
}

func (g *gather) wait(ctx context.Context, r *gathered) error {
	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	for {
		select {
		case err := <-r.done:
			if errors.Is(err, errGathered) {
				return g.backend.readAlone(ctx, r.statement)
			}
			return err
		case <-ctx.Done():
			g.leave(r)
			return ctx.Err()
		case <-patience.C:
			if g.leave(r) {
				// It takes the place of a sender that may not come back.
				return g.alone(ctx, r.statement)
			}
		}
	}
}

// leave takes a read back, and reports whether it was still waiting for a sender.
func (g *gather) leave(r *gathered) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, r)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// next is for a sender that is back.
func (g *gather) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGathered)
	if n == 0 {
		// There may have been more than planned, when some did not come back.
		g.free = min(g.free+1, g.senders)
		return
	}
	together := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	go g.send(together)
}

// send runs reads together.
func (g *gather) send(together []*gathered) {
	defer g.next()
	ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
	defer cancel()
	err := g.backend.readTogether(ctx, together)
	for _, r := range together {
		if r.answered {
			r.done <- nil
		} else {
			r.done <- err
		}
	}
}
