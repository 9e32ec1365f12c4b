package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

func TestOpenChoosesTheBackend(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"mysql://user:hunter2@host/db", "host=localhost password=hunter2", "hunter2", "postgres:hunter2"} {
		_, err := Open(t.Context(), url, t.TempDir(), Options{})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "postgres://") {
			t.Errorf("%s: error %v", url, err)
		}
	}
	url := pgtest.URL(t)
	for _, url := range []string{"", url, strings.Replace(url, "postgres://", "postgresql://", 1)} {
		s, err := Open(t.Context(), url, t.TempDir(), Options{})
		if err != nil {
			t.Errorf("%q: %v", url, err)
			continue
		}
		if _, isSQLite := s.(*db).backend.(*sqliteBackend); isSQLite != (url == "") {
			t.Errorf("%q opens %T", url, s.(*db).backend)
		}
		s.Close()
	}
}

func TestPasswordStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	for _, url := range []string{
		"postgres://user:hunter2@" + address + "/db",
		"postgres://user:hunter2@" + address + "/db?sslmode=wrong",
		"postgres://user:hunter2@" + address + "/db?pool_max_conns=hunter2",
		"postgres://user@" + address + "/db?password=hunter2&sslmode=wrong",
		"postgres://user@" + address + "/db?p%61ssword=hunter2&sslmode=wrong",
		"postgres://user:hunter2%zz@" + address + "/db",
		"postgres://user:hunter2@[bad/db",
		"postgres://a@u:hunter2:x@host/db",
		"postgres://user:hunter2 @host:port/db",
		"postgres://user:hunter2/more@host/db",
	} {
		_, err := OpenPostgres(t.Context(), url, Options{})
		if err == nil {
			t.Errorf("%s opens", url)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
	_, err = OpenPostgres(t.Context(), "postgres://"+address+"/db?sslmode=wrong", Options{})
	if err == nil || !strings.Contains(err.Error(), "sslmode") {
		t.Errorf("without a password the cause is told: %v", err)
	}
}

func TestPostgresErrors(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		err  error
		ctx  context.Context
		want error
	}{
		{err: &pgconn.PgError{Code: "23505"}, want: errDuplicate},
		{err: &pgconn.PgError{Code: "40001"}, want: errRetry},
		{err: &pgconn.PgError{Code: "40P01"}, want: errRetry},
		{err: &pgconn.PgError{Code: "53100"}, want: store.ErrUnavailable}, // disk_full
		{err: &pgconn.PgError{Code: "53300"}, want: store.ErrUnavailable}, // too_many_connections
		{err: &pgconn.PgError{Code: "57P01"}, want: store.ErrUnavailable},
		{err: &pgconn.PgError{Code: "57P03"}, want: store.ErrUnavailable},
		{err: &pgconn.PgError{Code: "25006"}, want: store.ErrUnavailable},
		{err: &pgconn.PgError{Code: "08006"}, want: store.ErrUnavailable},
		{err: &pgconn.PgError{Code: "58030"}, want: store.ErrUnavailable},
		{err: &pgconn.PgError{Code: "28P01"}, want: store.ErrUnavailable},
		{err: &pgconn.ConnectError{}, want: store.ErrUnavailable},
		{err: net.ErrClosed, want: store.ErrUnavailable},
		{err: net.ErrClosed, ctx: ended, want: context.Canceled},
		{err: &pgconn.PgError{Code: "42601"}}, // syntax_error
		{err: &pgconn.PgError{Code: ""}},
	} {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		wrapped := fmt.Errorf("wrapped: %w", c.err)
		got := postgresError(c.ctx, wrapped)
		for _, class := range []error{errDuplicate, errRetry, store.ErrUnavailable, context.Canceled} {
			if errors.Is(got, class) != (class == c.want) { //nolint:errorlint // which row of the table it is
				t.Errorf("%#v becomes %v, want %v", c.err, got, c.want)
			}
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%v hides its cause", got)
		}
	}
	if err := postgresError(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestDeadlockIsRetried makes two transactions wait for each other.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t)+"&deadlock_timeout=50ms", Options{})
	for _, id := range []string{"a", "b"} {
		if err := insert(t.Context(), s, testRow(id)); err != nil {
			t.Fatal(err)
		}
	}
	var runs atomic.Int32
	arrived := make(chan struct{}, 2)
	lockBoth := func(first, second string) error {
		met := false
		return s.Update(t.Context(), func(tx store.Tx) error {
			runs.Add(1)
			r, err := tx.Lock(t.Context(), "org", store.Key{Kind: "kind", ID: first})
			if err != nil {
				return err
			}
			if !met {
				met = true
				arrived <- struct{}{}
				for len(arrived) < 2 {
					time.Sleep(time.Millisecond)
				}
			}
			if _, err := tx.Lock(t.Context(), "org", store.Key{Kind: "kind", ID: second}); err != nil {
				// What fn makes of the error does not keep it from running again.
				return errors.New("something else")
			}
			return tx.Update(t.Context(), r, nil)
		})
	}
	errs := make(chan error, 2)
	go func() { errs <- lockBoth("a", "b") }()
	go func() { errs <- lockBoth("b", "a") }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if runs.Load() < 3 {
		t.Errorf("%d runs: nothing was run again", runs.Load())
	}
	for _, id := range []string{"a", "b"} {
		if r, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: id}); err != nil || r.Version != 2 {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	runs := 0
	err := s.(*db).backend.update(t.Context(), func(txConn) error {
		runs++
		return fmt.Errorf("%w: always", errRetry)
	})
	if !errors.Is(err, store.ErrUnavailable) || runs != maxTries {
		t.Errorf("%d runs, error %v", runs, err)
	}
}

// TestConnectionOfWhoLeft closes the connection of a transaction whose context has ended.
func TestConnectionOfWhoLeft(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t)+"&pool_max_conns=1", Options{})
	process := func() (id int64) {
		err := s.(*db).backend.update(t.Context(), func(c txConn) error {
			return c.query(t.Context(), "SELECT pg_backend_pid()", nil, func(scan func(...any) error) error { return scan(&id) })
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	kept := process()
	if again := process(); again != kept {
		t.Errorf("connection %d was not used again, but %d", kept, again)
	}
	ctx, leave := context.WithCancel(t.Context())
	if err := s.Update(ctx, func(tx store.Tx) error {
		begin(t, tx)
		leave()
		_, err := tx.Lock(ctx, "org", store.Key{Kind: "kind", ID: "a"})
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if again := process(); again == kept {
		t.Error("the connection is used again, on which a word to stop may be under way")
	}
}

// TestServerGoneAndBack takes the server away under an open store.
func TestServerGoneAndBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := openPostgres(t, server.URL(), Options{})
	if err := insert(t.Context(), s, testRow("a")); err != nil {
		t.Fatal(err)
	}
	for i, end := range []func(){server.Stop, server.Kill} {
		end()
		for what, err := range map[string]error{
			"ping":   s.Ping(t.Context()),
			"insert": insert(t.Context(), s, testRow("lost")),
			"get":    func() error { _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); return err }(),
		} {
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s without a server: error %v, want ErrUnavailable", what, err)
			}
		}
		server.Restart()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := insert(t.Context(), s, testRow(fmt.Sprint("back-", i)))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after the restart: %v", err)
			}
		}
		if got := count(t, s); got != int64(i+2) {
			t.Errorf("%d rows after restart %d", got, i)
		}
	}
}

func TestPostgresClosed(t *testing.T) {
	t.Parallel()
	s, err := OpenPostgres(t.Context(), pgtest.URL(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}
	if err := insert(t.Context(), s, testRow("a")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("update: %v", err)
	}
}

// TestTextsCompareByteWise opens a database whose own collation is another.
func TestTextsCompareByteWise(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	if n := text(t, s, `SELECT coalesce(string_agg(table_name || '.' || column_name, ' '), '') FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`); n != "" {
		t.Errorf("these columns do not compare byte-wise: %s", n)
	}
}
