package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

const (
	// busyTimeout is how long a statement waits for another process that is
	// writing to the file.
	busyTimeout = 10 * time.Second
	// maxStatements bounds the statements that a connection keeps prepared.
	// The shapes of queries are few; the bound is for the unforeseen.
	maxStatements = 200
)

// sqliteConn is one connection to the database file. It is not safe for
// concurrent use.
type sqliteConn struct {
	conn *sqlite.Conn
	// statements are prepared statements by their text with PostgreSQL's
	// placeholders.
	statements map[string]*sqlite.Stmt
	// interrupt makes the end of a context stop a statement under way; nil where
	// nothing does.
	interrupt *interrupt
}

// interrupt stops the statements of one connection. It stays armed from one
// statement to the next: to arm it takes a goroutine, which would cost a short
// statement more than its work.
type interrupt struct {
	conn *sqlite.Conn
	// done is closed to stop the statement; ended tells that this has been done.
	done, ended chan struct{}
}

func (s *sqliteConn) makeInterruptible() {
	s.interrupt = &interrupt{conn: s.conn, ended: make(chan struct{}, 1)}
	s.interrupt.arm()
}

func (i *interrupt) arm() {
	i.done = make(chan struct{})
	i.conn.SetInterrupt(i.done)
}

func (i *interrupt) fire() {
	close(i.done)
	i.ended <- struct{}{}
}

// during runs a statement, which the end of the context stops.
func (i *interrupt) during(ctx context.Context, statement func() error) error {
	stop := context.AfterFunc(ctx, i.fire)
	defer func() {
		if !stop() {
			<-i.ended
			i.arm()
		}
	}()
	err := statement()
	if sqlite.ErrCode(err) == sqlite.ResultInterrupt && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// openSQLiteConn opens a connection with a page cache of so many KiB at most.
// Files are not mapped into memory: a disk error under a mapping would end the
// process.
func openSQLiteConn(path string, flags sqlite.OpenFlags, cacheKiB int, pragmas ...string) (*sqliteConn, error) {
	c, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, sqliteError(err)
	}
	c.SetBusyTimeout(busyTimeout)
	s := &sqliteConn{conn: c, statements: make(map[string]*sqlite.Stmt)}
	for _, pragma := range append(pragmas, "mmap_size = 0", fmt.Sprintf("cache_size = -%d", cacheKiB)) {
		if _, err := s.exec(context.Background(), "PRAGMA "+pragma, nil); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *sqliteConn) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if s.interrupt == nil {
		return s.run(sql, args, row)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if byKey(sql) {
		// The row is there before an interrupt could be.
		return s.run(sql, args, row)
	}
	return s.interrupt.during(ctx, func() error { return s.run(sql, args, row) })
}

func (s *sqliteConn) run(sql string, args []any, row func(scan func(dest ...any) error) error) (err error) {
	stmt, err := s.prepare(sql)
	if err != nil {
		return sqliteError(err)
	}
	// Reset ends the statement's read of the database, which would hold back
	// checkpoints otherwise, also when row panics; what was bound may be large and
	// is let go.
	defer func() {
		reset := stmt.Reset()
		_ = stmt.ClearBindings() // it cannot fail
		if err == nil {
			err = sqliteError(reset)
		}
	}()
	bind(stmt, args)
	scan := func(dest ...any) error { return scanColumns(stmt, dest) }
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return sqliteError(err)
		}
		if err := row(scan); err != nil {
			return err // what the reader said counts
		}
	}
}

func (s *sqliteConn) exec(ctx context.Context, sql string, args []any) (int64, error) {
	err := s.query(ctx, sql, args, func(func(...any) error) error { return nil })
	return int64(s.conn.Changes()), err
}

func (s *sqliteConn) prepare(sql string) (*sqlite.Stmt, error) {
	if stmt := s.statements[sql]; stmt != nil {
		return stmt, nil
	}
	if len(s.statements) >= maxStatements {
		for text, stmt := range s.statements {
			_ = stmt.Finalize() // it repeats the error of the last step
			delete(s.statements, text)
		}
	}
	// SQLite takes $1 for a name; ?1 is its form of the first parameter.
	stmt, err := s.conn.Prepare(strings.ReplaceAll(sql, "$", "?"))
	if err == nil {
		s.statements[sql] = stmt
	}
	return stmt, err
}

func (s *sqliteConn) close() error { return s.conn.Close() }

func bind(stmt *sqlite.Stmt, args []any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			stmt.BindText(i+1, v)
		case int64:
			stmt.BindInt64(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		default:
			panic(fmt.Sprintf("sqlstore: cannot bind a %T", arg))
		}
	}
}

func scanColumns(stmt *sqlite.Stmt, dest []any) error {
	for i, d := range dest {
		switch v := d.(type) {
		case *string:
			*v = stmt.ColumnText(i)
		case *int64:
			*v = stmt.ColumnInt64(i)
		case *[]byte:
			*v = make([]byte, stmt.ColumnLen(i))
			stmt.ColumnBytes(i, *v)
		case *lent:
			n := stmt.ColumnLen(i)
			*v = slices.Grow((*v)[:0], n)[:n]
			stmt.ColumnBytes(i, *v)
		default:
			return fmt.Errorf("sqlstore: cannot scan into a %T", d)
		}
	}
	return nil
}

// sqliteError classifies an error of SQLite.
func sqliteError(err error) error {
	if err == nil {
		return nil
	}
	switch code := sqlite.ErrCode(err); code {
	case sqlite.ResultConstraintUnique, sqlite.ResultConstraintPrimaryKey:
		return fmt.Errorf("%w: %w", errDuplicate, err)
	default:
		switch code.ToPrimary() {
		case sqlite.ResultFull:
			return fmt.Errorf("%w: %w", store.ErrDiskFull, err)
		case sqlite.ResultReadOnly:
			return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
		case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultProtocol,
			sqlite.ResultIOErr, sqlite.ResultCantOpen, sqlite.ResultNoMem, sqlite.ResultPerm, sqlite.ResultAuth:
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	return err
}
