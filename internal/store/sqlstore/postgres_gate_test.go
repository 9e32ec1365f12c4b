package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// TestSilentServer is about a server that swallows what it is sent: after a
// moment nobody waits for it any more, and when it is back all is well.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	watch(t, s)
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	get := func() error {
		// A request's own deadline is longer than what the gate needs.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := s.Get(ctx, "org", store.Key{Kind: "kind", ID: "a"})
		return err
	}
	for range 2 {
		p.freeze()
		eventually(t, "the gate to shut", func() bool { return s.(*db).backend.(*postgresBackend).gate.pass() != nil })
		for _, call := range []func() error{
			get,
			func() error { return insert(t.Context(), s, testRow("lost")) },
			func() error { return s.Ping(t.Context()) },
			func() error { return s.Snapshot(t.Context(), func(store.Snapshot) error { return nil }) },
		} {
			begun := time.Now()
			if err := call(); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("while the server is silent: %v", err)
			}
			// It is told at once and not after a timeout, of which the shortest
			// is seconds.
			if took := time.Since(begun); took > acquireTimeout/2 {
				t.Errorf("a call waited for %s", took)
			}
		}
		p.thaw()
		eventually(t, "the server to be used again", func() bool { return get() == nil })
	}
	if err := insert(t.Context(), s, testRow("b")); err != nil {
		t.Error(err)
	}
}

// TestNoConnectionLeft is about a server whose connections others have: what
// this process has goes on, and what it cannot get is told.
func TestNoConnectionLeft(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t, pgtest.WithSetting("max_connections", "12"), pgtest.WithSetting("superuser_reserved_connections", "0")).URL()
	s := openPostgres(t, url, Options{})
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	g := s.(*db).backend.(*postgresBackend).gate
	var others []*db
	for i := range 12 {
		o, err := OpenPostgres(t.Context(), url, Options{})
		if err != nil {
			if i == 0 || !errors.Is(err, store.ErrNoConnections) {
				t.Fatalf("connection %d: %v", i, err)
			}
			break
		}
		others = append(others, o.(*db))
	}
	t.Cleanup(func() {
		for _, o := range others {
			_ = o.Close()
		}
	})
	g.suspect()
	eventually(t, "the gate to have looked", func() bool { return !g.looking.Load() })
	if err := g.pass(); err != nil {
		t.Errorf("a server without a free connection is taken for one that does not answer: %v", err)
	}
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); err != nil {
		t.Errorf("the connection that there is does not work: %v", err)
	}
}

// TestPingTellsOfRefusedWrites is about a database that can be read only.
func TestPingTellsOfRefusedWrites(t *testing.T) {
	t.Parallel()
	url := pgtest.Start(t).URL()
	s, operator := openPostgres(t, url, Options{}), openPostgres(t, url, Options{})
	readOnly := func(value string) {
		t.Helper()
		for _, o := range []store.Store{operator, s} {
			err := o.(*db).backend.read(t.Context(), func(c conn) error {
				_, err := c.exec(t.Context(), fmt.Sprintf("SELECT set_config('default_transaction_read_only', '%s', false)", value), nil)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	readOnly("on")
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("before anybody writes: %v", err)
	}
	if err := insert(t.Context(), s, testRow("b")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a write: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("after a write was refused: %v", err)
	}
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); err != nil {
		t.Errorf("a read: %v", err)
	}
	readOnly("off")
	if err := insert(t.Context(), s, testRow("c")); err != nil {
		t.Error(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("when it takes writes again: %v", err)
	}
}

// TestPingTellsOfAFullDisk is the same on SQLite, where small writes may go on.
func TestPingTellsOfAFullDisk(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	onWriter(t, s, "PRAGMA max_page_count = 1")
	big := testRow("big")
	big.Body = make([]byte, 1<<20)
	if err := insert(t.Context(), s, big); !errors.Is(err, store.ErrDiskFull) {
		t.Errorf("a write: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrDiskFull) {
		t.Errorf("just after a refused write: %v", err)
	}
	// A while later a write that changes nothing shows that the disk takes some.
	r := s.(*db).refused.Load()
	s.(*db).refused.Store(&refusal{r.err, r.at.Add(-doubt)})
	for range 2 {
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("when it takes writes again: %v", err)
		}
	}
}
