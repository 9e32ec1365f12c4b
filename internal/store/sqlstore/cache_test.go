package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// forever is a lease for stores that nobody else writes to: on a busy machine the
// usual one may run out.
const forever = 24 * time.Hour

// cached opens a store with a cache that is believed.
func cached(t testing.TB, dir string, lease time.Duration) *db {
	t.Helper()
	s := openSQLite(t, dir, Options{CacheBytes: 1, lease: lease}).(*db)
	eventually(t, "the cache is believed", func() bool { return int64(time.Since(s.cache.start)) < s.cache.until.Load() })
	return s
}

// hitsOf tells how many of the reads the cache answered.
func (c *cache) hitsOf(reads func()) uint64 {
	before := c.hits.Load()
	reads()
	return c.hits.Load() - before
}

func TestCacheFollowsWrites(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	key := store.Key{Kind: "kind", ID: "a"}
	row := testRow("a")
	row.Name, row.Parent, row.Private = "name", "parent", []byte{0}
	row.Created = time.UnixMicro(1).UTC()
	row.Updated = row.Created
	if err := insert(t.Context(), s, row); err != nil {
		t.Fatal(err)
	}
	get := func(hits uint64, body string) {
		t.Helper()
		var got *store.Row
		var err error
		if n := s.cache.hitsOf(func() { got, err = s.Get(t.Context(), "org", key) }); n != hits {
			t.Errorf("%d hits, want %d", n, hits)
		}
		switch {
		case body == "" && !errors.Is(err, store.ErrNotFound):
			t.Errorf("%v, want ErrNotFound", err)
		case body != "" && (err != nil || string(got.Body) != body):
			t.Errorf("%v, %v, want the body %s", got, err, body)
		}
	}
	list := func(hits uint64, ids string) {
		t.Helper()
		var found []string
		n := s.cache.hitsOf(func() {
			rows, err := s.List(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: 10})
			if err != nil {
				t.Error(err)
			}
			for _, r := range rows {
				found = append(found, r.ID+string(r.Body))
			}
		})
		if got := strings.Join(found, " "); n != hits || got != ids {
			t.Errorf("%s with %d hits, want %s with %d", got, n, ids, hits)
		}
	}
	get(0, "{}")
	get(1, "{}")
	whole, err := s.Get(t.Context(), "", key)
	if err != nil || !reflect.DeepEqual(whole, row) {
		t.Errorf("%+v, %v, want %+v", whole, err, row)
	}
	if _, err := s.Get(t.Context(), "another", key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a row of another organization: %v", err)
	}
	list(0, "a{}")
	list(1, "a{}")

	// What another organization or kind writes is something else.
	for _, other := range []*store.Row{{Key: store.Key{Kind: "kind", ID: "b"}, Org: "other"}, {Key: store.Key{Kind: "another kind", ID: "a"}, Org: "org"}} {
		if err := insert(t.Context(), s, other); err != nil {
			t.Fatal(err)
		}
	}
	get(1, "{}")
	list(1, "a{}")

	row.Body = []byte(`{"new":1}`)
	row.Org = "" // it never changes, and need not be said
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Update(t.Context(), row, nil) }); err != nil {
		t.Fatal(err)
	}
	get(0, `{"new":1}`)
	get(1, `{"new":1}`)
	list(0, `a{"new":1}`)

	// A new row is in the lists, and leaves other rows alone.
	if err := insert(t.Context(), s, testRow("c")); err != nil {
		t.Fatal(err)
	}
	get(1, `{"new":1}`)
	list(0, `a{"new":1} c{}`)
	list(1, `a{"new":1} c{}`)

	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(t.Context(), key, time.Now()) }); err != nil {
		t.Fatal(err)
	}
	get(0, "")
	get(0, "")
	list(0, "c{}")
}

// TestCacheKnowsQuestionsApart asks for lists of all sorts, twice each: the
// cache answers the second time what the database does.
func TestCacheKnowsQuestionsApart(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	for i := range 12 {
		row := testRow(fmt.Sprintf("id-%02d", i))
		row.Body = fmt.Appendf(nil, `{"number":%d}`, i)
		row.Name, row.Parent = fmt.Sprint("name ", i), fmt.Sprint(i%2)
		row.Created = time.UnixMicro(int64(i)).UTC()
		if err := insert(t.Context(), s, row, store.Entry{Field: "a", Value: fmt.Sprint(i % 3)}, store.Entry{Field: "b", Value: fmt.Sprint("v", i)}); err != nil {
			t.Fatal(err)
		}
	}
	a := func(values ...string) []store.Condition { return []store.Condition{{Field: "a", Values: values}} }
	prefix := func(prefixes ...string) []store.Condition { return []store.Condition{{Field: "b", Prefixes: prefixes}} }
	var queries []store.Query
	for _, q := range []store.Query{
		{}, {Limit: 3}, {Limit: 4}, {After: 3}, {Backward: true}, {Backward: true, After: 5}, {BodyOnly: true},
		{Where: a("1")}, {Where: a("2")}, {Where: a("1", "2")}, {Where: a("12")}, {Where: prefix("v1")}, {Where: prefix("v", "1")},
		{Where: []store.Condition{{Field: "b", Contains: "1"}}}, {Where: []store.Condition{{Field: "b", Values: []string{"1"}}}},
		{Visible: []store.Condition{}}, {Visible: a("1")}, {Except: a("1")}, {Where: a("1"), Except: a("1")},
		{Where: []store.Condition{{Field: store.FieldParent, Values: []string{"1"}}}}, {Where: []store.Condition{{Field: store.FieldName, Values: []string{"name 1"}}}},
		{Where: append(a("1"), prefix("v")...)}, {Kind: "another"}, {Org: "another"},
	} {
		q.Org, q.Kind, q.Limit = cmp.Or(q.Org, "org"), cmp.Or(q.Kind, "kind"), cmp.Or(q.Limit, 100)
		queries = append(queries, q)
	}
	for range 2 {
		for _, q := range queries {
			var want []store.Row
			if err := s.backend.read(t.Context(), func(c conn) (err error) {
				want, err = reader{s.dialect, c}.List(t.Context(), q)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			got, err := s.List(t.Context(), q)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v: %+v, %v, want %+v", q, got, err, want)
			}
		}
	}
	if hits := s.cache.hits.Load(); hits != uint64(len(queries)) {
		t.Errorf("%d hits for %d queries", hits, len(queries))
	}
	// Of no organization at all is in no one scope.
	if hits := s.cache.hitsOf(func() {
		for range 2 {
			if rows, err := s.List(t.Context(), store.Query{Kind: "kind", Limit: 100}); err != nil || len(rows) != 12 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
		}
	}); hits != 0 {
		t.Errorf("%d hits for lists of all organizations", hits)
	}
}

func TestCacheBounds(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	long := testRow("long")
	long.Body = make([]byte, 100<<10)
	for _, row := range []*store.Row{long, testRow("short")} {
		if err := insert(t.Context(), s, row); err != nil {
			t.Fatal(err)
		}
	}
	// A question may be too long, too.
	many := store.Query{Org: "org", Kind: "kind", Limit: 1, Where: []store.Condition{{Field: store.FieldID, Values: []string{"short"}}}}
	for i := range 500 {
		many.Where[0].Values = append(many.Where[0].Values, fmt.Sprint("no such row ", i))
	}
	if hits := s.cache.hitsOf(func() {
		for range 2 {
			if row, err := s.Get(t.Context(), "org", long.Key); err != nil || len(row.Body) != len(long.Body) {
				t.Error("a long row:", err)
			}
			if rows, err := s.List(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: 1}); err != nil || len(rows) != 1 || len(rows[0].Body) != len(long.Body) {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			if rows, err := s.List(t.Context(), many); err != nil || len(rows) != 1 || rows[0].ID != "short" {
				t.Errorf("%d rows of many values, %v", len(rows), err)
			}
		}
	}); hits != 0 {
		t.Errorf("%d hits for what is too long", hits)
	}
}

// TestCacheEnds is about those who read: their contexts, their errors, and a store
// that is closed.
func TestCacheEnds(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	for _, id := range []string{"a", "b"} {
		if err := insert(t.Context(), s, testRow(id)); err != nil {
			t.Fatal(err)
		}
	}
	key, q := testRow("a").Key, store.Query{Org: "org", Kind: "kind", Limit: 10}
	broken := errors.New("broken")
	for round := range 2 { // the second time from the cache
		visited := 0
		if err := s.Visit(t.Context(), q, func(*store.Row) error { visited++; return broken }); !errors.Is(err, broken) || visited != 1 {
			t.Errorf("round %d: %v after %d rows", round, err, visited)
		}
		func() {
			defer func() {
				if recover() != "panic" {
					t.Error("no panic")
				}
			}()
			_ = s.Visit(t.Context(), q, func(*store.Row) error { panic("panic") })
		}()
		if rows, err := s.List(t.Context(), q); err != nil || len(rows) != 2 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		if _, err := s.Get(t.Context(), "org", key); err != nil {
			t.Error(err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Get(ended, "org", key); !errors.Is(err, context.Canceled) {
		t.Errorf("a row for nobody: %v", err)
	}
	if _, err := s.List(ended, q); !errors.Is(err, context.Canceled) {
		t.Errorf("a list for nobody: %v", err)
	}
	// A transaction that panics is over.
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.Insert(t.Context(), testRow("c"), nil); err != nil {
				t.Error(err)
			}
			panic("panic")
		})
	}()
	if hits := s.cache.hitsOf(func() {
		for range 2 {
			if rows, err := s.List(t.Context(), q); err != nil || len(rows) != 2 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
		}
	}); hits != 1 {
		t.Errorf("%d hits after a panic, want 1", hits)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "org", key); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a row of a closed store: %v", err)
	}
	if _, err := s.List(t.Context(), q); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a list of a closed store: %v", err)
	}
}

// TestCacheLease asks a cache when it is believed.
func TestCacheLease(t *testing.T) {
	t.Parallel()
	c, err := newCache(1, cacheLease)
	if err != nil {
		t.Fatal(err)
	}
	key := store.Key{Kind: "kind", ID: "a"}
	known := func() bool {
		q := c.row(nil, key)
		if !q.open {
			return false
		}
		_, ok := c.answer(nil, q)
		return ok
	}
	keep := func(q question) {
		if q.open {
			c.keep(q, append(q.newEntry(nil), 1))
		}
	}
	expect := func(when string, want bool) {
		t.Helper()
		if got := known(); got != want {
			t.Errorf("%s: answered is %v, want %v", when, got, want)
		}
	}
	keep(c.row(nil, key))
	expect("before anybody has looked at the file", false)
	c.renew(time.Now())
	expect("with a lease", true)
	c.renew(time.Now().Add(-cacheLease))
	expect("with a lease that is over", false)
	c.renew(time.Now())
	expect("with a new lease", true)

	before := c.row(nil, key)
	c.forget()
	expect("after a commit of another process", false)
	keep(before)
	expect("with what was read before it", false)
	keep(c.row(nil, key))
	expect("with what was read after it", true)

	// Who asks while there is no lease gets nothing from before the next look at
	// the file.
	c.renew(time.Now().Add(-cacheLease))
	before = c.row(nil, key)
	c.forget()
	c.renew(time.Now())
	if _, ok := c.answer(nil, before); ok {
		t.Error("what another process changed answers who asked before it was known")
	}
	keep(c.row(nil, key))
	expect("with what was read after that", true)

	w := writes{cache: c}
	before = c.row(nil, key)
	w.begin("org", key)
	expect("while a write is under way", false)
	keep(before)
	if c.row(nil, key).open {
		t.Error("what is read while a write is under way may be kept")
	}
	second := writes{cache: c}
	second.begin("org", key)
	w.end()
	if c.row(nil, key).open {
		t.Error("what is read while a second write is under way may be kept")
	}
	second.end()
	second.end() // ends nothing more
	expect("after the writes", false)
	keep(c.row(nil, key))
	expect("with what was read after the writes", true)
}

// TestCacheUnderChange reads rows and lists while others write them: nobody
// sees less than what was reported to be written before, and nothing comes back.
func TestCacheUnderChange(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	const rows, versions = 4, 150
	var reported [rows]atomic.Int64
	for i := range rows {
		if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		reported[i].Store(1)
	}
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for i := range rows {
		writers.Go(func() {
			for range versions {
				row := testRow(fmt.Sprint(i))
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Update(t.Context(), row, nil) }); err != nil {
					t.Error(err)
				}
				reported[i].Store(row.Version)
				// Readers get to fill the cache in between.
				eventually(t, "a read", func() bool {
					got, err := s.Get(t.Context(), "org", row.Key)
					return err == nil && got.Version == row.Version
				})
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			var seen [rows]int64
			check := func(i int, least, version int64) {
				if version < least || version < seen[i] {
					t.Errorf("version %d of row %d, after %d was reported and %d seen", version, i, least, seen[i])
				}
				seen[i] = version
			}
			for !over.Load() && !t.Failed() {
				for i := range rows {
					least := reported[i].Load()
					row, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: fmt.Sprint(i)})
					if err != nil {
						t.Error(err)
						return
					}
					check(i, least, row.Version)
				}
				var least [rows]int64
				for i := range rows {
					least[i] = reported[i].Load()
				}
				found, err := s.List(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: rows})
				if err != nil || len(found) != rows {
					t.Errorf("%d rows, %v", len(found), err)
					return
				}
				for i, row := range found {
					check(i, least[i], row.Version)
				}
			}
		})
	}
	writers.Wait()
	over.Store(true)
	readers.Wait()
	if s.cache.hits.Load() == 0 {
		t.Error("the cache answered nothing")
	}
	wantQuiet(t, s.cache)
}

// wantQuiet holds a cache to have no writes under way, so that all that is read can be
// kept.
func wantQuiet(t *testing.T, c *cache) {
	t.Helper()
	for scope := range c.began {
		if began, ended := c.began[scope].Load(), c.ended[scope].Load(); began != ended {
			t.Errorf("scope %d: %d writes have begun and %d have ended", scope, began, ended)
		}
	}
}

// TestCacheAfterFailures writes in transactions that fail in all ways, and ones that
// run again: all of them are over afterwards.
func TestCacheAfterFailures(t *testing.T) {
	t.Parallel()
	s := cached(t, t.TempDir(), forever)
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	var taken *store.ErrTaken
	if err := insert(t.Context(), s, testRow("a")); !errors.As(err, &taken) {
		t.Errorf("a row that is there: %v", err)
	}
	if err := insert(ended, s, testRow("b")); !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %v", err)
	}
	broken := errors.New("broken")
	var runs int
	for name, test := range map[string]struct {
		fn   func(tx store.Tx) error
		want error
	}{
		"refused": {func(tx store.Tx) error { return errors.Join(tx.Insert(t.Context(), testRow("c"), nil), broken) }, broken},
		"rolled back by SQLite, and run again": {func(tx store.Tx) error {
			err := tx.Insert(t.Context(), testRow(fmt.Sprint("d", runs)), nil)
			begin(t, tx)
			if runs++; runs < 2 {
				return errors.Join(err, onTx(t, tx, "ROLLBACK"))
			}
			return err
		}, nil},
		"not there": {func(tx store.Tx) error { return tx.Update(t.Context(), testRow("none"), nil) }, store.ErrNotFound},
	} {
		if err := s.Update(t.Context(), test.fn); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if runs != 2 {
		t.Errorf("%d runs", runs)
	}
	wantQuiet(t, s.cache)
	if n := count(t, s); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// onTx runs a statement in the midst of a transaction.
func onTx(t *testing.T, x store.Tx, sql string) error {
	_, err := x.(*tx).conn.exec(t.Context(), sql, nil)
	return err
}

// TestBeside writes beside a store with a cache: when that is done the cache
// answers nothing older.
func TestBeside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := cached(t, dir, cacheLease)
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	beside := openSQLite(t, dir, Options{Beside: true})
	q := store.Query{Org: "org", Kind: "kind", Limit: 10}
	for round := range 3 {
		var done atomic.Bool
		var reads sync.WaitGroup
		reads.Go(func() { // keeps in the cache what there is
			for !done.Load() {
				if _, err := s.List(t.Context(), q); err != nil {
					t.Error(err)
				}
			}
		})
		if err := insert(t.Context(), beside, testRow(fmt.Sprint(round))); err != nil {
			t.Error(err)
		}
		if rows, err := s.List(t.Context(), q); err != nil || len(rows) != round+2 {
			t.Errorf("%d rows, %v, want %d", len(rows), err, round+2)
		}
		done.Store(true)
		reads.Wait()
	}
	if s.cache.hits.Load() == 0 {
		t.Error("the cache answered nothing")
	}
}
