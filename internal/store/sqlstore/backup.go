package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"
)

// BackupSQLite writes the database in dir, as it is at one moment, into a new
// file that only the owner can read, and returns the version of its schema.
// Servers go on reading and writing meanwhile; their write-ahead log grows. The
// copy is durable and changes nothing in the original. It holds no free pages,
// so it may be smaller.
func BackupSQLite(ctx context.Context, dir, to string) (version int64, err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return 0, fmt.Errorf("back up database: %w", err)
	}
	c, err := openSQLiteConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		return 0, fmt.Errorf("back up database %s: %w", path, err)
	}
	c.makeInterruptible()
	defer func() { err = errors.Join(err, c.close()) }()
	// SQLite takes an empty file for one that it may fill. Made here, it is
	// nobody else's to read at any time.
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := c.exec(ctx, "VACUUM INTO $1", []any{to}); err != nil {
		return 0, fmt.Errorf("back up database %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	copied, err := openSQLiteConn(to, sqlite.OpenReadOnly, readerCacheKiB)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, copied.close()) }()
	return sqliteVersion(ctx, copied)
}

// HasSQLite reports whether there is a database in dir, or the remains of one.
func HasSQLite(dir string) (bool, error) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(filepath.Join(dir, FileName+suffix)); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}
