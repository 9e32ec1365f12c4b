package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

const (
	// FileName is the name of the SQLite database in the data directory;
	// SQLite keeps a -wal and a -shm file beside it.
	FileName = "weir.db"

	writerCacheKiB = 8 << 10
	readerCacheKiB = 2 << 10
	maxReaders     = 16
)

var errClosed = fmt.Errorf("%w: it is closed", store.ErrUnavailable)

// sqliteBackend has one connection that writes and a few that read; in WAL
// mode neither waits for the other.
type sqliteBackend struct {
	path   string
	writer *writer
	// readers holds the idle connections, and nil for each that may still be
	// opened.
	readers chan *sqliteConn
	// closing is closed when Close begins.
	closing chan struct{}
	// followers counts the goroutine that looks for changes of others.
	followers sync.WaitGroup
	polled    func(version int64)
	cache     *cache
	// beside makes update wait until other processes have noticed.
	beside    bool
	closeOnce sync.Once
}

// OpenSQLite opens the database file weir.db in dir and brings its schema up
// to date. It creates what is missing, readable to the owner alone. Several
// processes may have the database open at once, on one machine; writers then
// wait for each other.
func OpenSQLite(ctx context.Context, dir string, opts Options) (store.Store, error) {
	path := filepath.Join(dir, FileName)
	if err := createSQLiteFile(dir, path); err != nil {
		return nil, err
	}
	if err := migrateSQLite(ctx, path, opts); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	cache, err := newCache(opts.CacheBytes, cmp.Or(opts.lease, cacheLease))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	// FULL syncs the log at every commit, which is what makes an answer given
	// survive a power cut. The file remembers WAL mode, save for one that was
	// restored from an export. What a savepoint would roll back to is kept in
	// memory: a file in its place costs a third of an insert.
	c, err := openSQLiteConn(path, sqlite.OpenReadWrite, writerCacheKiB,
		"journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	b := &sqliteBackend{
		path: path, closing: make(chan struct{}), polled: opts.polled,
		cache: cache, beside: opts.Beside,
	}
	b.writer = startWriter(c, b.closing, opts)
	b.readers = make(chan *sqliteConn, min(max(2*runtime.GOMAXPROCS(0), 4), maxReaders))
	for range cap(b.readers) {
		b.readers <- nil
	}
	return newDB(&sqliteDialect, b, b.cache, opts), nil
}

func (b *sqliteBackend) read(ctx context.Context, fn func(conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-b.closing:
		return errClosed
	default:
	}
	select {
	case <-b.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case c := <-b.readers:
		// Sent back also when fn panics or c could not be opened.
		defer func() { b.readers <- c }()
		if c == nil {
			opened, err := openSQLiteConn(b.path, sqlite.OpenReadWrite, readerCacheKiB, "query_only = ON")
			if err != nil {
				return err
			}
			opened.makeInterruptible()
			c = opened
		}
		return fn(c)
	}
}

// snapshot has a connection of its own: it may take long, and requests need the
// others.
func (b *sqliteBackend) snapshot(ctx context.Context, fn func(conn) error) (err error) {
	c, err := openSQLiteConn(b.path, sqlite.OpenReadWrite, readerCacheKiB, "query_only = ON")
	if err != nil {
		return err
	}
	c.makeInterruptible()
	defer func() { err = errors.Join(err, c.close()) }()
	// The first statement that reads takes the moment.
	if _, err := c.exec(ctx, "BEGIN", nil); err != nil {
		return err
	}
	return fn(c)
}

func (b *sqliteBackend) update(ctx context.Context, fn func(txConn) error) error {
	err := b.writer.update(ctx, fn)
	if b.beside && err == nil {
		time.Sleep(besideWait)
	}
	return err
}

func (b *sqliteBackend) close() error {
	var err error
	b.closeOnce.Do(func() { err = b.shutDown() })
	return err
}

func (b *sqliteBackend) shutDown() error {
	close(b.closing)
	b.followers.Wait()
	var err error
	for range cap(b.readers) {
		if c := <-b.readers; c != nil {
			err = errors.Join(err, c.close())
		}
	}
	return errors.Join(err, <-b.writer.stopped)
}

// createSQLiteFile makes sure that the directory and the file are there and
// can be written to.
func createSQLiteFile(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	// The file is made under another name and then linked: closing a file that
	// SQLite has open elsewhere in this process would drop SQLite's locks. Where
	// it is there already, SQLite must be able to make others beside it.
	temp, err := os.CreateTemp(dir, ".weir-*.tmp")
	if err != nil {
		return fmt.Errorf("data directory %s must be writable: %w", dir, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone already when all went well
	if err := temp.Close(); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open database: %w", err)
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create database: %w", err)
	}
	return syncDir(dir)
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}
