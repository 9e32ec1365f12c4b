package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// busy takes all senders until free is called.
func busy[T any](g *gather[T]) (free func()) {
	g.patience = time.Hour
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
	g := s.(*db).backend.(*postgresBackend).reads
	var reads sync.WaitGroup
	for i := range n {
		reads.Go(func() {
			row, err := s.Get(ctx, "org", store.Key{Kind: "kind", ID: fmt.Sprint(i)})
			done(i, row, err)
		})
	}
	awaitWaiting(t, g, n)
	return reads.Wait
}

// awaitWaiting waits until so many wait for a sender.
func awaitWaiting[T any](t *testing.T, g *gather[T], n int) {
	t.Helper()
	eventually(t, "those that wait", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.waiting) == n
	})
}

// TestReadsGoTogether has reads wait for a sender: each gets its own answer, and
// they take few ways to the server.
func TestReadsGoTogether(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	const n = 3*maxReads + 1
	for i := range n {
		if i%5 == 0 {
			continue // is not there
		}
		if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	b := s.(*db).backend.(*postgresBackend)
	free := busy(b.reads)
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
	free := busy(s.(*db).backend.(*postgresBackend).reads)
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
	free := busy(s.(*db).backend.(*postgresBackend).reads)
	ctx, leave := context.WithCancel(t.Context())
	g := s.(*db).backend.(*postgresBackend).reads
	wait := queue(t, ctx, s, 3, func(i int, _ *store.Row, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("row %d: %v", i, err)
		}
	})
	leave()
	wait()
	if len(g.waiting) != 0 {
		t.Errorf("%d reads that have left still wait", len(g.waiting))
	}
	free()
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "0"}); err != nil {
		t.Error(err)
	}
}

// TestStuckReads has reads get no answer on connections that are open: no other
// read waits for them, neither while the server is silent nor when it is back.
func TestStuckReads(t *testing.T) {
	t.Parallel()
	n := 2 * senders(defaultPoolSize)
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	watch(t, s)
	if err := insert(t.Context(), s, testRow("0")); err != nil {
		t.Fatal(err)
	}
	openConnections(t, s, n)
	get := func(ctx context.Context) error {
		_, err := s.Get(ctx, "org", store.Key{Kind: "kind", ID: "0"})
		return err
	}
	p.freeze()
	ctx, leave := context.WithCancel(t.Context())
	var reads sync.WaitGroup
	for range n {
		reads.Go(func() {
			if err := get(ctx); err == nil {
				t.Error("a silent server answers")
			}
		})
	}
	b := s.(*db).backend.(*postgresBackend)
	eventually(t, "reads that are stuck", func() bool { return int(b.pool.Stat().AcquiredConns()) >= n })
	eventually(t, "the gate to shut", func() bool { return b.gate.pass() != nil })
	began := time.Now()
	if err := get(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("while the server is silent: %v", err)
	}
	if took := time.Since(began); took > acquireTimeout/2 {
		t.Errorf("a read waits for %s behind a gate that is shut", took)
	}
	p.thaw()
	eventually(t, "the gate to open", func() bool { return b.gate.pass() == nil })
	for range n {
		began := time.Now()
		if err := get(t.Context()); err != nil {
			t.Errorf("when the server is back: %v", err)
		}
		if took := time.Since(began); took > acquireTimeout/2 {
			t.Errorf("a read waits for %s behind reads that are stuck", took)
		}
	}
	b.reads.mu.Lock()
	if len(b.reads.waiting) > 0 || b.reads.free == 0 {
		t.Errorf("%d reads are left to wait, %d senders are free", len(b.reads.waiting), b.reads.free)
	}
	b.reads.mu.Unlock()
	leave()
	reads.Wait()
}

// openConnections makes the pool have so many connections.
func openConnections(t *testing.T, s store.Store, n int) {
	t.Helper()
	var open, all sync.WaitGroup
	open.Add(n)
	for range n {
		all.Go(func() {
			err := s.Snapshot(t.Context(), func(store.Snapshot) error {
				open.Done()
				open.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestReadsThatGetNoConnection has the time of reads that go together end, which is not
// theirs: each asks again by itself.
func TestReadsThatGetNoConnection(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.(*db).backend.(*postgresBackend).readTogether(over, []*pendingRead{{}, {}}) {
		if !errors.Is(err, errGathered) {
			t.Error(err)
		}
	}
}

// TestGatherThatIsNotReady asks while nothing may be asked.
func TestGatherThatIsNotReady(t *testing.T) {
	t.Parallel()
	g := (&gather[int]{
		alone: func(context.Context, int) error {
			t.Error("it is asked")
			return nil
		},
		ready:   func() error { return store.ErrUnavailable },
		senders: 1, most: 1,
	}).start()
	if err := g.do(t.Context(), 1); !errors.Is(err, store.ErrUnavailable) || g.free != 1 {
		t.Errorf("%v, %d free", err, g.free)
	}
}
