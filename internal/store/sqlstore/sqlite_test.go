package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

// testRow is a row of the organization "org" and the kind "kind".
func testRow(id string) *store.Row {
	return &store.Row{Key: store.Key{Kind: "kind", ID: id}, Org: "org", Body: []byte("{}")}
}

func insert(ctx context.Context, s store.Store, r *store.Row, entries ...store.Entry) error {
	return s.Update(ctx, func(tx store.Tx) error { return tx.Insert(ctx, r, entries) })
}

// begin makes the transaction begin.
func begin(t testing.TB, tx store.Tx) {
	if _, err := tx.Setting(t.Context(), "none"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func count(t testing.TB, s store.Store) int64 {
	t.Helper()
	n, err := s.Count(t.Context(), store.Query{Org: "org", Kind: "kind"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sqliteOf(s store.Store) *sqliteBackend { return s.(*db).backend.(*sqliteBackend) }

// onWriter runs fn with the connection that writes, outside any transaction.
func onWriter(t testing.TB, s store.Store, statements ...string) {
	t.Helper()
	w := sqliteOf(s).writer
	err := w.update(t.Context(), func(c txConn) error {
		for _, sql := range statements {
			if _, err := c.exec(t.Context(), sql, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteSettings(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	read := func(c conn, pragma string) (value string) {
		if err := c.query(t.Context(), "PRAGMA "+pragma, nil, func(scan func(...any) error) error { return scan(&value) }); err != nil {
			t.Error(err)
		}
		return value
	}
	check := func(who string, c conn, want map[string]string) {
		for pragma, value := range want {
			if got := read(c, pragma); got != value {
				t.Errorf("%s: %s is %s, want %s", who, pragma, got, value)
			}
		}
	}
	b := sqliteOf(s)
	err := b.update(t.Context(), func(c txConn) error {
		check("writer", c, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1",
			"cache_size": "-8192", "wal_autocheckpoint": "1000"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = b.read(t.Context(), func(c conn) error {
		check("reader", c, map[string]string{"journal_mode": "wal", "query_only": "1", "cache_size": "-2048"})
		if _, err := c.exec(t.Context(), "DELETE FROM objects", nil); err == nil {
			t.Error("a connection for reading writes")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b % ?c=d#e")
	s := openSQLite(t, dir, Options{})
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if got := strings.Join(names, " "); got != "weir.db weir.db-shm weir.db-wal" {
		t.Errorf("files %s", got)
	}
}

// TestCommitsAreShared holds the writer while others queue; what queued is
// committed at once.
func TestCommitsAreShared(t *testing.T) {
	t.Parallel()
	const n = 100
	var mu sync.Mutex
	var batches []int
	s := openSQLite(t, t.TempDir(), Options{committed: func(functions int) {
		mu.Lock()
		defer mu.Unlock()
		batches = append(batches, functions)
	}})
	held, release := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			begin(t, tx)
			close(held)
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-held
	var submitted atomic.Int32
	for i := range n {
		calls.Go(func() {
			submitted.Add(1)
			if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	for submitted.Load() < n {
		time.Sleep(time.Millisecond)
	}
	close(release)
	calls.Wait()
	total := 0
	for _, functions := range batches {
		total += functions
	}
	if total != n+1 || len(batches) > n/4 {
		t.Errorf("%d functions in %d commits", total, len(batches))
	}
	if got := count(t, s); got != n {
		t.Errorf("%d rows", got)
	}
}

// TestBatchIsBounded queues more than one commit may hold.
func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	largest := 0
	s := openSQLite(t, t.TempDir(), Options{committed: func(functions int) { largest = max(largest, functions) }})
	var calls sync.WaitGroup
	for range 3 * maxBatch {
		calls.Go(func() {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Append(store.Event{}) }); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if largest > maxBatch {
		t.Errorf("%d functions in one commit", largest)
	}
}

// TestFullDisk fills the database up: the write that does not fit fails, and
// those that share its transaction are kept.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	onWriter(t, s, "PRAGMA max_page_count = 200")
	held, release := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			close(held)
			<-release
			return tx.Insert(t.Context(), testRow("first"), nil)
		}); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	<-held
	calls.Go(func() {
		large := testRow("large")
		large.Body = make([]byte, 4<<20)
		err := insert(t.Context(), s, large)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the large one: error %v, want ErrUnavailable", err)
		}
	})
	for i := range 8 {
		calls.Go(func() {
			if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
				t.Errorf("a small one: %v", err)
			}
		})
	}
	close(release)
	calls.Wait()
	if got := count(t, s); got != 9 {
		t.Errorf("%d rows, want 9", got)
	}
}

// TestLostTransactionRunsAgainAlone takes the shared transaction away under
// the functions in it, as SQLite does on some errors.
func TestLostTransactionRunsAgainAlone(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	w := sqliteOf(s).writer
	held, release := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	runs := 0
	calls.Go(func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			if runs++; runs == 1 {
				close(held)
				<-release
			}
			return tx.Insert(t.Context(), testRow("kept"), nil)
		}); err != nil {
			t.Errorf("the bystander: %v", err)
		}
	})
	<-held
	calls.Go(func() {
		boom := errors.New("boom")
		err := w.update(t.Context(), func(c txConn) error {
			if _, err := c.exec(t.Context(), "ROLLBACK", nil); err != nil {
				t.Error(err)
			}
			return boom
		})
		if err != boom { //nolint:errorlint // the contract promises the error as it is
			t.Errorf("the culprit: %v", err)
		}
	})
	close(release)
	calls.Wait()
	if got := count(t, s); got != 1 {
		t.Errorf("%d rows", got)
	}
}

// TestFailedStatementFailsTheTransaction lets fn ignore the failure of a write.
func TestFailedStatementFailsTheTransaction(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	onWriter(t, s, "PRAGMA max_page_count = 1")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		large := testRow("large")
		large.Body = make([]byte, 1<<20)
		_ = tx.Insert(t.Context(), large, nil)
		return nil
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if got := count(t, s); got != 0 {
		t.Errorf("%d rows", got)
	}
}

func TestClosedSQLite(t *testing.T) {
	t.Parallel()
	s, err := OpenSQLite(t.Context(), t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	inside, release := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			begin(t, tx)
			close(inside)
			<-release
			return tx.Insert(t.Context(), testRow("a"), nil)
		}); err != nil {
			t.Errorf("the transaction under way: %v", err)
		}
	})
	<-inside
	calls.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-sqliteOf(s).closing
	close(release)
	calls.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if err := insert(t.Context(), s, testRow("b")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("update: %v", err)
	}
}

func TestSQLiteCannotOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	noDatabase := filepath.Join(dir, "nodb")
	if err := os.Mkdir(noDatabase, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(noDatabase, FileName), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, want string }{
		{file, "not a directory"},
		{filepath.Join(file, "below"), "not a directory"},
		{noDatabase, "file is not a database"},
	} {
		_, err := OpenSQLite(t.Context(), c.dir, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", c.dir, err, c.want)
		}
	}
}

func TestSQLiteStatementsAreBounded(t *testing.T) {
	t.Parallel()
	c, err := openSQLiteConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate, readerCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for i := range 3 * maxStatements {
		var got int64
		err := c.query(t.Context(), fmt.Sprintf("SELECT %d + $1", i), []any{int64(1)}, func(scan func(...any) error) error { return scan(&got) })
		if err != nil || got != int64(i+1) {
			t.Fatalf("got %d, %v", got, err)
		}
		if len(c.statements) > maxStatements {
			t.Fatalf("%d statements are kept", len(c.statements))
		}
	}
}

// TestReadIsInterrupted ends the context of a statement that would run on, again
// and again on the same connection, which goes on serving others.
func TestReadIsInterrupted(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	c, err := openSQLiteConn(filepath.Join(t.TempDir(), "other.db"), sqlite.OpenReadWrite|sqlite.OpenCreate, readerCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	c.makeInterruptible()
	defer func() { _ = c.close() }()
	const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	for name, read := range map[string]func(context.Context) error{
		"lent by the store": func(ctx context.Context) error {
			return sqliteOf(s).read(ctx, func(c conn) error {
				_, err := c.exec(ctx, endless, nil)
				return err
			})
		},
		"one connection": func(ctx context.Context) error {
			_, err := c.exec(ctx, endless, nil)
			return err
		},
	} {
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: error %v, want context.DeadlineExceeded", name, err)
			}
			cancel()
			if _, err := c.exec(t.Context(), "SELECT 1", nil); err != nil {
				t.Errorf("%s: the next statement: %v", name, err)
			}
		}
	}
	if count(t, s) != 0 {
		t.Error("rows out of nowhere")
	}
}
