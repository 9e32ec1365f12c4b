package sqlstore

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// An event does not appear while a transaction is open that has a smaller
// number. Transactions that append nothing have no part in it.
func TestEventsWaitForOpenTransactions(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := openPostgres(t, url, Options{})
	begin := func() pgx.Tx {
		t.Helper()
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(t.Context()) })
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	appendTo := func(tx pgx.Tx, text string) {
		t.Helper()
		sql, args := postgresDialect.insertEvents([]store.Event{{Org: "org", At: time.Now(), Body: []byte(text)}})
		if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(tx pgx.Tx) {
		t.Helper()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []string {
		t.Helper()
		events, err := s.Events(t.Context(), store.EventQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range events {
			out = append(out, string(e.Body))
		}
		return out
	}

	_ = begin() // appends nothing, and never ends
	first, second := begin(), begin()
	appendTo(second, "early number, late commit")
	appendTo(first, "late number, early commit")
	commit(first)
	for range 5 {
		if got := read(); got != nil {
			t.Fatalf("while a transaction with a smaller number is open, the log has %q", got)
		}
	}
	// What begins now has no part in it.
	later := begin()
	appendTo(later, "of a later transaction")
	commit(second)
	want := []string{"early number, late commit", "late number, early commit"}
	deadline := time.Now().Add(10 * time.Second)
	for !slices.Equal(read(), want) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has %q, want %q", read(), want)
		}
	}
	commit(later)
	for want = append(want, "of a later transaction"); !slices.Equal(read(), want); {
		if time.Now().After(deadline) {
			t.Fatalf("the log has %q, want %q", read(), want)
		}
	}
}

// The numbers of removed events are not given out again.
func TestRemovedEvents(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]store.Store{
		"SQLite":     openSQLite(t, t.TempDir(), Options{}),
		"PostgreSQL": openPostgres(t, pgtest.URL(t), Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			add := func(text string) int64 {
				t.Helper()
				if err := s.Update(t.Context(), func(tx store.Tx) error {
					return tx.Append(store.Event{Org: "org", At: time.Now(), Body: []byte(text)})
				}); err != nil {
					t.Fatal(err)
				}
				events, err := s.Events(t.Context(), store.EventQuery{Backward: true, Limit: 1})
				if err != nil || len(events) != 1 || string(events[0].Body) != text {
					t.Fatalf("the last event is %v, %v", events, err)
				}
				return events[0].Seq
			}
			first, second := add("first"), add("second")
			for _, through := range []int64{first, second} {
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.RemoveEvents(t.Context(), through) }); err != nil {
					t.Fatal(err)
				}
				events, err := s.Events(t.Context(), store.EventQuery{Limit: 10})
				if err != nil || len(events) != int(second-through) {
					t.Fatalf("after the removal up to %d there are %v, %v", through, events, err)
				}
			}
			if third := add("third"); third <= second {
				t.Errorf("the third event has number %d, and the second had %d", third, second)
			}
		})
	}
}
