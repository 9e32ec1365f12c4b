package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// openCounting returns the number of commits so far too.
func openCounting(t *testing.T) (store.Store, *atomic.Int64) {
	t.Helper()
	var commits atomic.Int64
	return openPostgres(t, pgtest.URL(t), Options{committed: func(int) { commits.Add(1) }}), &commits
}

// account is a write of a row with the name, which counts as one of so many and leaves
// an event.
func account(ctx context.Context, s store.Store, id, name string, limit int64) error {
	row := testRow(id)
	row.Name = name
	return s.Update(ctx, func(tx store.Tx) error {
		if err := tx.Insert(ctx, row, []store.Entry{{Field: "f", Value: id}}); err != nil {
			return err
		}
		tx.Tally(row.Key, nil, []store.Share{{Counter: store.Counter{Org: row.Org, Name: "accounts"}, Limit: limit}})
		return tx.Append(store.Event{Org: row.Org, At: time.Now(), Body: []byte(id)})
	})
}

// atOnce has n writes wait for each other, and returns how they went when all are done.
func atOnce(t *testing.T, s store.Store, n int, write func(i int) error) []error {
	t.Helper()
	s.(*db).refusals.until = nil
	outcome := make([]error, n)
	free, wait := waitingWrites(t, s, n, func(i int) { outcome[i] = write(i) })
	free()
	wait()
	return outcome
}

func waitingWrites(t *testing.T, s store.Store, n int, write func(i int)) (free, wait func()) {
	t.Helper()
	free = busy(s.(*db).shared)
	var writes sync.WaitGroup
	for i := range n {
		writes.Go(func() { write(i) })
	}
	awaitWaiting(t, s.(*db).shared, n)
	return free, writes.Wait
}

func wantCounted(t *testing.T, s store.Store, want int) {
	t.Helper()
	values, err := s.Counters(t.Context(), "org", "")
	if err != nil || values["accounts"] != int64(want) {
		t.Errorf("counted %v, %v, want %d", values, err, want)
	}
	if rows := count(t, s); rows != int64(want) {
		t.Errorf("%d rows, want %d", rows, want)
	}
	n, err := s.Count(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: 1, Where: []store.Condition{{Field: "f", Prefixes: []string{""}}}})
	if err != nil || n != int64(want) {
		t.Errorf("%d rows have their entry, %v, want %d", n, err, want)
	}
	var last int64
	eventually(t, "events", func() bool {
		events, err := s.Events(t.Context(), store.EventQuery{After: 0, Limit: 1000})
		last = int64(len(events))
		return err == nil && last >= int64(want)
	})
	if last != int64(want) {
		t.Errorf("%d events, want %d", last, want)
	}
}

// first makes the counter, which a transaction of its own does.
func first(t *testing.T, s store.Store, limit int64) {
	t.Helper()
	if err := account(t.Context(), s, "first", "first", limit); err != nil {
		t.Fatal(err)
	}
}

// TestWritesGoTogether has writes wait for others: all are kept, in few commits.
func TestWritesGoTogether(t *testing.T) {
	t.Parallel()
	s, commits := openCounting(t)
	const n = 45
	first(t, s, 1<<30)
	before := commits.Load()
	for i, err := range atOnce(t, s, n, func(i int) error {
		return account(t.Context(), s, fmt.Sprint("id-", i), fmt.Sprint("name-", i), 1<<30)
	}) {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	wantCounted(t, s, n+1)
	if took := commits.Load() - before; took > 4 {
		t.Errorf("%d writes took %d commits", n, took)
	}
}

// TestWhoIsToBlame has writes go together of which some cannot be: they alone fail.
func TestWhoIsToBlame(t *testing.T) {
	t.Parallel()
	s, _ := openCounting(t)
	const n = 20
	first(t, s, 1<<30)
	twins := 0
	for i, err := range atOnce(t, s, n, func(i int) error {
		name := fmt.Sprint("name-", i)
		switch i {
		case 3:
			name = "first"
		case 7, 11:
			name = "twin"
		}
		return account(t.Context(), s, fmt.Sprint("id-", i), name, 1<<30)
	}) {
		var taken *store.ErrTaken
		switch {
		case i == 3:
			if !errors.As(err, &taken) || taken.By.ID != "first" {
				t.Errorf("a name that is taken: %v", err)
			}
		case (i == 7 || i == 11) && errors.As(err, &taken):
			twins++
		case err != nil:
			t.Errorf("write %d: %v", i, err)
		}
	}
	if twins != 1 {
		t.Errorf("%d of two with one name have failed", twins)
	}
	wantCounted(t, s, n-1)
}

// TestRunsOfWhoGoesTogether counts how often functions run when one of them cannot be:
// that one knows at once that it has to be careful, and the others go alone.
func TestRunsOfWhoGoesTogether(t *testing.T) {
	t.Parallel()
	s, _ := openCounting(t)
	first(t, s, 1<<30)
	var runs [4]int
	for i, err := range atOnce(t, s, len(runs), func(i int) error {
		row := testRow(fmt.Sprint("id-", i))
		row.Name = []string{"first", "b", "c", "d"}[i]
		return s.Update(t.Context(), func(tx store.Tx) error {
			runs[i]++
			return tx.Insert(t.Context(), row, nil)
		})
	}) {
		if (err != nil) != (i == 0) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if runs != [...]int{2, 2, 2, 2} {
		t.Errorf("functions ran %d times, want two times each", runs)
	}
}

// TestSharedTransactionRunsOnce has the database ask for another run: what statements
// found in the first one must not count for the second.
func TestSharedTransactionRunsOnce(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{}).(*db)
	runs := 0
	x := s.newTx(&postgresTx{backend: s.backend.(*postgresBackend)}, &changes{})
	x.held = []statement{{sql: pingSQL, end: func() error {
		runs++
		return errRetry
	}}}
	if err := s.runShared(t.Context(), []*tx{x}); !errors.Is(err, errGathered) || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

// TestLimitsHoldTogether has more writes go together than there are places, for limits
// that leave a transaction more than one, and for such that do not.
func TestLimitsHoldTogether(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{5, 20, 60, 150} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			s, _ := openCounting(t)
			first(t, s, limit)
			full, ids := 0, atomic.Int64{}
			for range 3 {
				for _, err := range atOnce(t, s, 60, func(int) error {
					id := fmt.Sprint("id-", ids.Add(1))
					return account(t.Context(), s, id, id, limit)
				}) {
					var no *store.ErrFull
					if errors.As(err, &no) && no.Limit == limit {
						full++
					} else if err != nil {
						t.Error(err)
					}
				}
			}
			if want := 1 + 3*60 - int(limit); full != want {
				t.Errorf("%d have found it full, want %d", full, want)
			}
			wantCounted(t, s, int(limit))
		})
	}
}

// TestFarIsFar lets all that can be under way at the same time take what they may.
func TestFarIsFar(t *testing.T) {
	t.Parallel()
	d := &postgresDialect
	for limit := range int64(3000) {
		allowance := d.allowance(limit)
		for value := range limit + 5 {
			if d.far(allowance, value, limit) && value+int64(d.slots-1)*allowance > limit {
				t.Fatalf("limit %d, value %d, allowance %d", limit, value, allowance)
			}
		}
		if d.far(allowance+1, 1, limit) {
			t.Fatalf("more than the allowance of %d is far from the limit %d", allowance, limit)
		}
	}
	if !d.far(d.allowance(1000), 700, 1000) || !d.far(1, 80, 100) {
		t.Error("far from the limit is near")
	}
}

// TestLimitWaits changes a limit while a transaction counts under the old one.
func TestLimitWaits(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	first(t, s, 1000)
	pool := s.(*db).backend.(*postgresBackend).pool
	counting, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := counting.Exec(t.Context(), "UPDATE counters SET value = value + 1 WHERE slot = 3"); err != nil {
		t.Fatal(err)
	}
	change := func(ctx context.Context, what string, name string) error {
		return s.Update(ctx, func(tx store.Tx) error {
			if what == "put" {
				return tx.PutLimit(ctx, "org", name, 3)
			}
			_, err := tx.DeleteLimit(ctx, "org", name)
			return err
		})
	}
	for _, what := range []string{"put", "delete"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := change(ctx, what, "accounts"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s beside a transaction that counts: %v", what, err)
		}
		cancel()
		if err := change(t.Context(), what, "others"); err != nil {
			t.Errorf("%s of another counter: %v", what, err)
		}
	}
	if err := counting.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := change(t.Context(), "put", "accounts"); err != nil {
		t.Error(err)
	}
}

// TestLimitThatIsNotTheDefault lets as many go together as the limit in force allows,
// once it was read.
func TestLimitThatIsNotTheDefault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ usual, set, commits int64 }{
		{usual: 100, set: 10_000, commits: 1},
		{usual: 10_000, set: 150, commits: 1 + 14}, // two go together
	} {
		s, commits := openCounting(t)
		first(t, s, c.usual)
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.PutLimit(t.Context(), "org", "accounts", c.set) }); err != nil {
			t.Fatal(err)
		}
		if err := account(t.Context(), s, "second", "second", c.usual); err != nil {
			t.Fatal(err)
		}
		before := commits.Load()
		for _, err := range atOnce(t, s, 16, func(i int) error {
			return account(t.Context(), s, fmt.Sprint("id-", i), fmt.Sprint("name-", i), c.usual)
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		if took := commits.Load() - before; took != c.commits {
			t.Errorf("limit %d by default, %d set: %d commits, want %d", c.usual, c.set, took, c.commits)
		}
		wantCounted(t, s, 18)
	}
}

// TestRefusedGoAlone has names and counters undo a shared transaction: whoever needs them
// right afterwards joins nobody.
func TestRefusedGoAlone(t *testing.T) {
	t.Parallel()
	s, _ := openCounting(t)
	first(t, s, 1<<20)
	write := func(id, name string, limit int64) error { return account(t.Context(), s, id, name, limit) }
	for _, c := range []struct {
		what   string
		undone func(i int) error
		again  func() error
	}{
		{
			"name", func(i int) error {
				return write(fmt.Sprint("id-", i), []string{"first", "b", "c", "d"}[i], 1<<20)
			},
			func() error { return write("again", "first", 1<<20) },
		},
		{
			"counter", func(i int) error { return write(fmt.Sprint("near-", i), fmt.Sprint("near-", i), 20) },
			func() error { return write("other", "other", 20) },
		},
	} {
		atOnce(t, s, 4, c.undone)
		free := busy(s.(*db).shared)
		done := make(chan error, 1)
		go func() { done <- c.again() }()
		select {
		case err := <-done:
			if c.what == "counter" && err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("who needs a %s that was refused waits for others", c.what)
		}
		free()
	}
}

// TestWriteLeaves ends the context of writes that wait: nothing of them is kept.
func TestWriteLeaves(t *testing.T) {
	t.Parallel()
	s, _ := openCounting(t)
	first(t, s, 1<<30)
	ctx, leave := context.WithCancel(t.Context())
	free, wait := waitingWrites(t, s, 3, func(i int) {
		if err := account(ctx, s, fmt.Sprint(i), fmt.Sprint(i), 1<<30); !errors.Is(err, context.Canceled) {
			t.Errorf("write %d: %v", i, err)
		}
	})
	leave()
	wait()
	free()
	wantCounted(t, s, 1)
}

// TestWriteThatIsUnderWayIsWaitedFor ends the contexts of writes that have gone: their
// outcome is told.
func TestWriteThatIsUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	first(t, s, 1<<30)
	ctx, leave := context.WithCancel(t.Context())
	free, wait := waitingWrites(t, s, 5, func(i int) {
		if err := account(ctx, s, fmt.Sprint(i), fmt.Sprint(i), 1<<30); err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	})
	lock, err := s.(*db).backend.(*postgresBackend).pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE counters IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	free()
	awaitWaiting(t, s.(*db).shared, 0)
	leave()
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait()
	wantCounted(t, s, 6)
}

// TestCommitOfManyWithoutAnAnswer breaks the connection on which a commit of several is
// under way: all are told that the outcome is unknown, and none is written twice.
func TestCommitOfManyWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	first(t, s, 1<<30)
	var outcome [5]error
	free, wait := waitingWrites(t, s, len(outcome), func(i int) {
		outcome[i] = account(t.Context(), s, fmt.Sprint("id-", i), fmt.Sprint("name-", i), 1<<30)
	})
	p.cutAt("commit")
	free()
	wait()
	p.cutAt("")
	for i, err := range outcome {
		if !errors.Is(err, errOutcomeUnknown) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	rows, err := s.List(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: 100})
	if err != nil || len(rows) != 1 && len(rows) != 1+len(outcome) {
		t.Fatalf("%d rows are there, %v", len(rows), err)
	}
	wantCounted(t, s, len(rows))
}

// TestWatchersOfSharedWrites tells of what went together, here and elsewhere.
func TestWatchersOfSharedWrites(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, other := openPostgres(t, url, Options{}), openPostgres(t, url, Options{})
	here, there := watch(t, s), watch(t, other)
	awaitListener(t, there, s)
	first(t, s, 1<<30)
	for _, err := range atOnce(t, s, 5, func(i int) error {
		return account(t.Context(), s, fmt.Sprint("id-", i), fmt.Sprint("name-", i), 1<<30)
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	for i := range 5 {
		for where, w := range map[string]*told{"here": here, "elsewhere": there} {
			eventually(t, "word of a write "+where, func() bool { return w.has(fmt.Sprint("id-", i)) })
		}
	}
}

// TestTransactionsThatStayAlone are those that ask, overdraw, or write nothing.
func TestTransactionsThatStayAlone(t *testing.T) {
	t.Parallel()
	s, commits := openCounting(t)
	first(t, s, 1)
	free := busy(s.(*db).shared)
	defer free()
	before := commits.Load()
	for what, fn := range map[string]func(tx store.Tx) error{
		"nothing": func(store.Tx) error { return nil },
		"asks": func(tx store.Tx) error {
			if _, err := tx.Lock(t.Context(), "org", store.Key{Kind: "kind", ID: "first"}); err != nil {
				return err
			}
			return tx.Append(store.Event{Org: "org"})
		},
		"overdraws": func(tx store.Tx) error {
			row := testRow("over")
			tx.Overdraw()
			tx.Tally(row.Key, nil, []store.Share{{Counter: store.Counter{Org: "org", Name: "accounts"}, Limit: 1}})
			return tx.Insert(t.Context(), row, nil)
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.Update(ctx, fn); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
	if took := commits.Load() - before; took != 2 {
		t.Errorf("%d commits, want 2", took)
	}
}

// TestOrderOfSharedWrites lets two transactions insert the same names in the opposite
// order: none of them waits for one that waits for it.
func TestOrderOfSharedWrites(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{}).(*db)
	names := []string{"c", "a", "d", "b"}
	collect := func(prefix string) []*tx {
		var all []*tx
		for _, name := range names {
			row := testRow(prefix + name)
			row.Name = name
			written := changes{feed: s.feed, writes: &writes{}}
			c := &postgresTx{backend: s.backend.(*postgresBackend)}
			x := s.newTx(c, &written)
			x.assume = true
			if err := x.Insert(t.Context(), row, nil); err != nil || !s.join(x) {
				t.Fatal(err)
			}
			all = append(all, x)
		}
		return all
	}
	for round := range 20 {
		one, other := collect(fmt.Sprint("one-", round)), collect(fmt.Sprint("other-", round))
		slices.Reverse(other)
		var both sync.WaitGroup
		for _, all := range [][]*tx{one, other} {
			both.Go(func() {
				// The later one finds the names taken. Who is undone over a deadlock would
				// have to run again.
				if err := s.runShared(t.Context(), all); err != nil && !errors.Is(err, errAssumed) {
					t.Errorf("they wait for each other: %v", err)
				}
			})
		}
		both.Wait()
		for _, name := range names {
			for _, prefix := range []string{"one-", "other-"} {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					return tx.Delete(t.Context(), store.Key{Kind: "kind", ID: fmt.Sprint(prefix, round, name)}, time.Now())
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Fatal(err)
				}
			}
		}
	}
}
