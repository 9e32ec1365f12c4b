package sqlstore

import (
	"log/slog"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/storetest"
)

func openSQLite(t testing.TB, dir string, opts Options) store.Store {
	t.Helper()
	s, err := OpenSQLite(t.Context(), dir, logged(t, opts))
	return opened(t, s, err)
}

func openPostgres(t testing.TB, url string, opts Options) store.Store {
	t.Helper()
	s, err := OpenPostgres(t.Context(), url, logged(t, opts))
	return opened(t, s, err)
}

func opened(t testing.TB, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func logged(t testing.TB, opts Options) Options {
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	return opts
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storetest.Run(t, func(t *testing.T) store.Store { return openSQLite(t, dir, Options{}) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	storetest.Run(t, func(t *testing.T) store.Store { return openPostgres(t, url, Options{}) })
}

// Both handles have a cache, so what one of them commits is not there for the other
// at once; the suite is held to that by its own handle alone.
func TestSQLiteWithCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	storetest.Run(t, func(t *testing.T) store.Store { return openSQLite(t, dir, Options{CacheBytes: 32 << 20}) })
}
