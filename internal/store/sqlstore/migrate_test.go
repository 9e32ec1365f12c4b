package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3/lock"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

// databases are fresh databases of both kinds; open may be called again.
func databases(t *testing.T) map[string]func(Options) (store.Store, error) {
	dir, url := t.TempDir(), pgtest.URL(t)
	return map[string]func(Options) (store.Store, error){
		"sqlite":   func(opts Options) (store.Store, error) { return Open(t.Context(), "", dir, logged(t, opts)) },
		"postgres": func(opts Options) (store.Store, error) { return Open(t.Context(), url, "", logged(t, opts)) },
	}
}

func TestMigrationsAreIdempotent(t *testing.T) {
	t.Parallel()
	for name, open := range databases(t) {
		for i := range 3 {
			s, err := open(Options{})
			if err != nil {
				t.Fatalf("%s: open %d: %v", name, i, err)
			}
			if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := count(t, s); got != int64(i+1) {
				t.Errorf("%s: %d rows after open %d", name, got, i)
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestSchemaTooNew(t *testing.T) {
	t.Parallel()
	for name, open := range databases(t) {
		s, err := open(Options{})
		if err != nil {
			t.Fatal(err)
		}
		// A newer program has been here.
		if err := s.(*db).backend.update(t.Context(), func(c txConn) error {
			applied := "true"
			if name == "sqlite" {
				applied = "1"
			}
			_, err := c.exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (4242, "+applied+")", nil)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = open(Options{newest: 41})
		if !errors.Is(err, store.ErrSchemaTooNew) {
			t.Fatalf("%s: error %v, want ErrSchemaTooNew", name, err)
		}
		if text := err.Error(); !strings.Contains(text, "4242") || !strings.Contains(text, "41;") || strings.Contains(text, "\n") {
			t.Errorf("%s: error %q does not name both versions in one line", name, text)
		}
	}
}

func TestConcurrentOpen(t *testing.T) {
	t.Parallel()
	const n = 6
	for name, open := range databases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores, errs := make([]store.Store, n), make(chan error, n)
			for i := range n {
				go func() {
					var err error
					stores[i], err = open(Options{})
					errs <- err
				}()
			}
			failed := false
			for range n {
				if err := <-errs; err != nil {
					t.Errorf("open: %v", err)
					failed = true
				}
			}
			for i, s := range stores {
				if s == nil {
					continue
				}
				if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			}
			if !failed {
				if got := count(t, stores[0]); got != n {
					t.Errorf("%d rows", got)
				}
			}
			for _, s := range stores {
				if s != nil {
					s.Close()
				}
			}
		})
	}
}

func TestBothDialectsHaveTheSameMigrations(t *testing.T) {
	t.Parallel()
	names := func(dialect string) string {
		found, err := fs.Glob(migrations, "migrations/"+dialect+"/*.sql")
		if err != nil || len(found) == 0 {
			t.Fatalf("%v, %v", found, err)
		}
		return strings.ReplaceAll(strings.Join(found, " "), dialect, "")
	}
	if a, b := names("sqlite"), names("postgres"); a != b {
		t.Errorf("sqlite has %s, postgres has %s", a, b)
	}
}

func TestOpenUpToDateSQLiteIsQuick(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openSQLite(t, dir, Options{})
	// The best of several, as the machine may be busy with other tests.
	best := time.Hour
	for range 20 {
		start := time.Now()
		s, err := OpenSQLite(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
		s.Close()
	}
	t.Logf("opened in %v", best)
	if best > 50*time.Millisecond {
		t.Errorf("opening took %v at best", best)
	}
}

// noLocker is a server without advisory locks.
type noLocker struct{ lock.SessionLocker }

func (noLocker) SessionLock(context.Context, *sql.Conn) error {
	return fmt.Errorf("failed to execute pg_try_advisory_lock: %w",
		&pgconn.PgError{Severity: "ERROR", Code: "42883", Message: "function pg_try_advisory_lock(bigint) does not exist"})
}

func TestPostgresWithoutAdvisoryLocks(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, err := newPool(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { errs <- migratePostgresWith(t.Context(), s, logged(t, Options{}), noLocker{}) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := insert(t.Context(), openPostgres(t, url, Options{}), testRow("a")); err != nil {
		t.Error(err)
	}
}

func TestMigrationFailureIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := createSQLiteFile(dir, filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	c, err := openSQLiteConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec(t.Context(), "CREATE TABLE objects (another_program INTEGER)", nil); err != nil {
		t.Fatal(err)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	_, err = OpenSQLite(t.Context(), dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "objects already exists") || !strings.Contains(err.Error(), FileName) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := OpenSQLite(ctx, dir, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
}
