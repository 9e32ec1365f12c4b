package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// busy takes all senders of reads, until it is called.
func busy(g *gather) (free func()) {
	g.mu.Lock()
	n := g.free
	g.free = 0
	g.mu.Unlock()
	return func() {
		for range n {
			g.next()
		}
	}
}

// queue starts so many reads while all senders are busy, and waits until they
// wait.
func queue(t *testing.T, ctx context.Context, s store.Store, n int, done func(i int, row *store.Row, err error)) (wait func()) { //nolint:revive // as in tests
	t.Helper()
	g := s.(*db).backend.(*postgresBackend).gather
	var reads sync.WaitGroup
	for i := range n {
		reads.Go(func() {
			row, err := s.Get(ctx, "org", store.Key{Kind: "kind", ID: fmt.Sprint(i)})
			done(i, row, err)
		})
	}
	eventually(t, "waiting reads", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.waiting) == n
	})
	return reads.Wait
}

// TestReadsGoTogether has reads wait for a sender: each gets its own answer, and
// they take few ways to the server.
func TestReadsGoTogether(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	const n = 3*maxGathered + 1
	for i := range n {
		if i%5 == 0 {
			continue // is not there
		}
		if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	b := s.(*db).backend.(*postgresBackend)
	free := busy(b.gather)
	wait := queue(t, t.Context(), s, n, func(i int, row *store.Row, err error) {
		switch {
		case i%5 == 0:
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("row %d: %v, want ErrNotFound", i, err)
			}
		case err != nil:
			t.Errorf("row %d: %v", i, err)
		case row.ID != fmt.Sprint(i):
			t.Errorf("row %d is row %s", i, row.ID)
		}
	})
	before := b.pool.Stat().AcquireCount()
	free()
	wait()
	if took := b.pool.Stat().AcquireCount() - before; took != 4 {
		t.Errorf("%d reads took %d ways, want 4", n, took)
	}
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "1"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestReadsThatFailTogether breaks the connection on which reads go together:
// each asks again by itself.
func TestReadsThatFailTogether(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	for i := range 4 {
		if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	free := busy(s.(*db).backend.(*postgresBackend).gather)
	wait := queue(t, t.Context(), s, 4, func(i int, _ *store.Row, err error) {
		if err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	})
	p.cutAt("kind") // as the reads say to the server
	free()
	wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cutAfter != nil {
		t.Error("no connection was cut")
	}
}

// TestReadLeaves ends the context of reads that wait.
func TestReadLeaves(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	if err := insert(t.Context(), s, testRow("0")); err != nil {
		t.Fatal(err)
	}
	free := busy(s.(*db).backend.(*postgresBackend).gather)
	ctx, leave := context.WithCancel(t.Context())
	wait := queue(t, ctx, s, 3, func(i int, _ *store.Row, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("row %d: %v", i, err)
		}
	})
	leave()
	wait()
	free()
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "0"}); err != nil {
		t.Error(err)
	}
}

// TestReadsWaitForNoSilentServer has reads wait behind senders that get no answer:
// they give up, and the gate shuts.
func TestReadsWaitForNoSilentServer(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	if err := insert(t.Context(), s, testRow("0")); err != nil {
		t.Fatal(err)
	}
	p.freeze()
	began := time.Now()
	var reads sync.WaitGroup
	for range 2 * gatherSenders {
		reads.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), acquireTimeout+time.Second)
			defer cancel()
			if _, err := s.Get(ctx, "org", store.Key{Kind: "kind", ID: "0"}); err == nil {
				t.Error("a silent server answers")
			}
		})
	}
	eventually(t, "the gate to shut", func() bool { return s.(*db).backend.(*postgresBackend).gate.pass() != nil })
	if took := time.Since(began); took > 2*acquireTimeout {
		t.Errorf("the gate has shut after %s", took)
	}
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "0"}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error %v", err)
	}
	p.thaw()
	reads.Wait()
	eventually(t, "an answer", func() bool {
		_, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "0"})
		return err == nil
	})
}
