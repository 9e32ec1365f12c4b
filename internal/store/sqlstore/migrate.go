package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/weirhq/weir/internal/store"
	_ "modernc.org/sqlite" // the database/sql driver that goose migrates SQLite through
	"zombiezen.com/go/sqlite"
)

//go:embed migrations
var migrations embed.FS

const (
	// versionSQL reads what goose keeps in its table.
	versionSQL = "SELECT coalesce(max(version_id), 0) FROM goose_db_version"
	// migrateTries bounds the attempts of one process among several that
	// migrate at once; all but one may fail at first.
	migrateTries = 8
)

// newestVersion is the number of the newest migration in the directory.
func newestVersion(dir fs.FS, opts Options) (int64, error) {
	if opts.newest != 0 {
		return opts.newest, nil
	}
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// upToDate compares the version of the database with the newest one known.
func upToDate(current, newest int64) (bool, error) {
	if current > newest {
		return false, fmt.Errorf("%w: it has version %d and this program knows versions up to %d; run the newer release, or restore a backup from before the upgrade",
			store.ErrSchemaTooNew, current, newest)
	}
	return current == newest, nil
}

// migrator brings one database up to date.
type migrator struct {
	files   fs.FS
	newest  int64
	opts    Options
	version func(ctx context.Context) (int64, error)
	// up applies what is missing.
	up func(ctx context.Context, files fs.FS) ([]*goose.MigrationResult, error)
}

// run migrates unless the database is up to date. Several processes may do so
// at once: whoever comes too late fails, looks again and finds it done.
func (m migrator) run(ctx context.Context) error {
	var failed error
	for try := range migrateTries {
		if try > 0 {
			wait := time.Duration(try)*50*time.Millisecond + rand.N(100*time.Millisecond)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		current, err := m.version(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if done, err := upToDate(current, m.newest); done || err != nil {
			return err
		}
		applied, err := m.up(ctx, m.files)
		for _, result := range applied {
			m.opts.logger().InfoContext(ctx, "database migrated", "version", result.Source.Version, "duration", result.Duration)
		}
		if err == nil {
			return nil
		}
		failed = err
	}
	return fmt.Errorf("migrate schema: %w", failed)
}

func migrateSQLite(ctx context.Context, path string, opts Options) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	newest, err := newestVersion(files, opts)
	if err != nil {
		return err
	}
	c, err := openSQLiteConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		return err
	}
	defer func() { _ = c.close() }()
	return migrator{
		files: files, newest: newest, opts: opts,
		version: func(ctx context.Context) (int64, error) { return sqliteVersion(ctx, c) },
		up: func(ctx context.Context, files fs.FS) ([]*goose.MigrationResult, error) {
			return upSQLite(ctx, path, files)
		},
	}.run(ctx)
}

func sqliteVersion(ctx context.Context, c *sqliteConn) (version int64, err error) {
	err = c.query(ctx, versionSQL, nil, func(scan func(...any) error) error { return scan(&version) })
	if err != nil && strings.Contains(err.Error(), "no such table") {
		return 0, nil
	}
	return version, err
}

// upSQLite first turns on WAL mode, which the file keeps from then on.
func upSQLite(ctx context.Context, path string, files fs.FS) ([]*goose.MigrationResult, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)",
	}}
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: query.Encode()}
	handle, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = handle.Close() }()
	handle.SetMaxOpenConns(1)
	provider, err := goose.NewProvider(goose.DialectSQLite3, handle, files)
	if err != nil {
		return nil, err
	}
	return up(ctx, provider)
}

func up(ctx context.Context, provider *goose.Provider) ([]*goose.MigrationResult, error) {
	applied, err := provider.Up(ctx)
	if partial := new(goose.PartialError); errors.As(err, &partial) {
		applied = partial.Applied
	}
	return applied, err
}
