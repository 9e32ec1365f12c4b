package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/weirhq/weir/internal/store"
)

const (
	// defaultPoolSize is the number of connections of one process at most,
	// unless the URL sets pool_max_conns.
	defaultPoolSize = 16
	// maxTries bounds how often a transaction runs that PostgreSQL aborts over
	// a deadlock or a serialization failure.
	maxTries = 10
	// endTimeout bounds COMMIT and ROLLBACK, which the end of the caller's
	// context does not stop.
	endTimeout = 30 * time.Second
	// acquireTimeout is how long a statement waits for one of the connections.
	acquireTimeout = 5 * time.Second
)

// postgresBackend leaves concurrency to the server: READ COMMITTED, and the
// locks that the statements ask for.
type postgresBackend struct {
	pool      *pgxpool.Pool
	log       *slog.Logger
	committed func(functions int)
	// instance marks this process's own notifications.
	instance atomic.Pointer[string]
	// stopListening ends the listener, if there is one, and waits for it.
	stopListening func()
	gate          *gate
	reads         *gather[*pendingRead]
}

// maxReads is how many reads of single rows go together at most.
const maxReads = 16

// senders returns how many of so many connections are used at a time by reads of single
// rows, and as many by transactions that are shared. Where processors are few, more ways
// would not be faster but have less go together: with two processors and 32 callers, two
// ways carry a quarter more reads than four and a fifth more creations.
func senders(connections int32) int { return min(max(runtime.GOMAXPROCS(0), 2), 4, int(connections)) }

// pendingRead is a read of a single row. Where many come at the same time they go to
// the server together: the way there and back takes more than the read.
type pendingRead struct {
	statement
	answered bool
}

// OpenPostgres connects to the database at the URL and brings its schema up to
// date; replicas that start together take turns. The URL's parameters are those
// of libpq and of pgxpool (pool_max_conns and the like). Watch takes one
// connection more than the pool has; a connection pooler on the way must hand
// out connections for whole sessions, since others lose notifications.
func OpenPostgres(ctx context.Context, databaseURL string, opts Options) (store.Store, error) {
	pool, err := newPool(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	if err := migratePostgres(ctx, pool, opts); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	b := &postgresBackend{pool: pool, log: opts.logger(), committed: opts.committed, stopListening: func() {}}
	b.gate = newGate(pool.Config().ConnConfig, pool.Reset, opts.logger())
	ways := senders(pool.Config().MaxConns)
	b.reads = (&gather[*pendingRead]{
		alone:    func(ctx context.Context, r *pendingRead) error { return b.readAlone(ctx, r.statement) },
		together: b.readTogether,
		ready:    b.gate.pass,
		senders:  ways, most: maxReads,
		patience: readPatience,
	}).start()
	b.renewInstance()
	s := newDB(&postgresDialect, b, nil, opts)
	s.shared = s.newShared(ways, b.gate.pass)
	return s, nil
}

func newPool(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, parseError(databaseURL, err)
	}
	if !strings.Contains(databaseURL, "pool_max_conns") {
		config.MaxConns = defaultPoolSize
	}
	if _, set := config.ConnConfig.RuntimeParams["application_name"]; !set {
		config.ConnConfig.RuntimeParams["application_name"] = "weir"
	}
	// When a caller gives up, ask the server to stop the statement, which holds locks and
	// a connection of the server's until then.
	config.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 2 * time.Second}
	}
	// Each process begins somewhere else, so that those that have few connections
	// do not all have the same numbers.
	var opened atomic.Int64
	opened.Store(rand.Int64N(1 << 32))
	config.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		c.PgConn().CustomData()[numberKey] = int(opened.Add(1) - 1)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	return pool, postgresError(ctx, err)
}

func (b *postgresBackend) read(_ context.Context, fn func(conn) error) error {
	return fn(postgresReader{b})
}

// postgresReader takes a connection for each statement.
type postgresReader struct{ backend *postgresBackend }

func (r postgresReader) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	s := statement{sql: sql, args: args, row: row}
	if byKey(sql) {
		return r.backend.readByKey(ctx, s)
	}
	return r.backend.readAlone(ctx, s)
}

func (r postgresReader) exec(ctx context.Context, sql string, args []any) (int64, error) {
	c, err := r.backend.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer release(ctx, c)
	return postgresConn{q: c}.exec(ctx, sql, args)
}

func (b *postgresBackend) readAlone(ctx context.Context, s statement) error {
	c, err := b.acquire(ctx)
	if err != nil {
		return err
	}
	defer release(ctx, c)
	return postgresConn{q: c}.query(ctx, s.sql, s.args, s.row)
}

// readByKey runs a query that reads a row by its key. After an error row may still be
// called.
func (b *postgresBackend) readByKey(ctx context.Context, s statement) error {
	r := &pendingRead{statement: s}
	r.end = func() error {
		r.answered = true
		return nil
	}
	err := b.reads.do(ctx, r)
	if errors.Is(err, errGathered) {
		return b.readAlone(ctx, s)
	}
	return err
}

func (b *postgresBackend) readTogether(ctx context.Context, reads []*pendingRead) []error {
	failed := make([]error, len(reads))
	c, err := b.acquire(ctx)
	switch {
	case err == nil:
		defer release(ctx, c)
		statements := make([]statement, len(reads))
		for i, r := range reads {
			statements[i] = r.statement
		}
		if _, sent := sendBatch(ctx, c.Conn(), statements); sent != nil {
			err = errGathered
		}
	case ctx.Err() != nil: // which is nobody's
		err = errGathered
	}
	for i, r := range reads {
		if !r.answered {
			failed[i] = err
		}
	}
	return failed
}

// acquire takes a connection, which is to be released. It gives up at once while
// the server is known not to answer, and after a while in any case, so that
// requests do not pile up behind it.
func (b *postgresBackend) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if err := b.gate.pass(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	c, err := b.pool.Acquire(wait)
	if err == nil {
		return c, nil
	}
	if ctx.Err() == nil && wait.Err() != nil {
		b.gate.suspect()
		return nil, fmt.Errorf("%w: none was free for %s: %w", store.ErrNoConnections, acquireTimeout, err)
	}
	return nil, postgresError(ctx, err)
}

// release gives a connection back. One whose caller has left is closed: the server may
// be about to hear that it should stop what that one asked for, and would stop what the
// next one asks for instead.
func release(ctx context.Context, c *pgxpool.Conn) {
	if ctx.Err() != nil && !c.Conn().IsClosed() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		_ = c.Conn().Close(end)
	}
	c.Release()
}

func (b *postgresBackend) snapshot(ctx context.Context, fn func(conn) error) error {
	c, err := b.acquire(ctx)
	if err != nil {
		return err
	}
	defer release(ctx, c)
	t, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return postgresError(ctx, err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		_ = t.Rollback(end) // there is nothing to keep
	}()
	return fn(postgresConn{q: t})
}

func (b *postgresBackend) update(ctx context.Context, fn func(txConn) error) error {
	for try := 1; ; try++ {
		err := b.once(ctx, fn)
		if !errors.Is(err, errRetry) {
			return err
		}
		if try == maxTries {
			return fmt.Errorf("%w: gave up after %d tries: %w", store.ErrUnavailable, try, err)
		}
		// Whoever collided must not come back in step.
		limit := min(time.Millisecond<<try, 100*time.Millisecond)
		select {
		case <-time.After(rand.N(limit)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once runs fn in one transaction. From COMMIT on the end of ctx stops nothing,
// since the outcome would be unknown.
func (b *postgresBackend) once(ctx context.Context, fn func(txConn) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &postgresTx{backend: b}
	committing := false
	defer func() {
		if t.c == nil {
			return
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		if t.begun && !committing { // fn failed or panicked
			// A rollback that fails ends the connection, which rolls back too.
			if _, err := t.c.Exec(end, "rollback"); err != nil {
				_ = t.c.Conn().Close(end)
			}
		}
		if errors.Is(err, store.ErrReadOnly) {
			// It leads to a server that was the primary, or to one from before it is
			// again: the next one may lead to where writes are taken.
			_ = t.c.Conn().Close(end)
		}
		release(ctx, t.c)
	}()
	if err := fn(t); err != nil {
		return err
	}
	if _, err := t.flush(ctx); err != nil || !t.begun {
		return err
	}
	committing = true
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	tag, err := t.c.Exec(end, "commit")
	if err == nil && tag.String() == "ROLLBACK" {
		err = pgx.ErrTxCommitRollback
	}
	if err != nil {
		err = postgresError(end, err)
		if !rolledBack(err) {
			// The server may yet commit, and then tell of it: listen to that.
			b.renewInstance()
			err = fmt.Errorf("%w: %w", errOutcomeUnknown, err)
		}
		return err
	}
	if b.committed != nil {
		b.committed(1)
	}
	return nil
}

// rolledBack reports whether the error of a COMMIT says that nothing was kept.
// One that ends the session may come after the commit.
func rolledBack(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.SeverityUnlocalized == "ERROR"
	}
	return errors.Is(err, pgx.ErrTxCommitRollback)
}

func (b *postgresBackend) close() error {
	b.stopListening()
	b.gate.close()
	b.pool.Close()
	return nil
}

// numberKey is what a connection's number is kept under with it.
const numberKey = "weir.number"

// postgresConn is a pool, a connection or a transaction.
type postgresConn struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
}

func (c postgresConn) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	rows, err := c.q.Query(ctx, sql, args...)
	if err != nil {
		return postgresError(ctx, err)
	}
	return readRows(ctx, rows, row)
}

func readRows(ctx context.Context, rows pgx.Rows, row func(scan func(dest ...any) error) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return postgresError(ctx, rows.Err())
}

func (c postgresConn) exec(ctx context.Context, sql string, args []any) (int64, error) {
	tag, err := c.q.Exec(ctx, sql, args...)
	return tag.RowsAffected(), postgresError(ctx, err)
}

// postgresTx is a transaction, which takes a connection when it needs one. BEGIN goes
// to the server with the first statement, and a statement that waits with the one that
// is waited for.
type postgresTx struct {
	backend *postgresBackend
	c       *pgxpool.Conn
	begun   bool
	held    []statement
}

func (t *postgresTx) connect(ctx context.Context) (err error) {
	if t.c == nil {
		t.c, err = t.backend.acquire(ctx)
	}
	return err
}

func (t *postgresTx) number(ctx context.Context) (int, error) {
	if err := t.connect(ctx); err != nil {
		return 0, err
	}
	n, _ := t.c.Conn().PgConn().CustomData()[numberKey].(int)
	return n, nil
}

func (t *postgresTx) later(_ context.Context, s statement) error {
	t.held = append(t.held, s)
	return nil
}

func (t *postgresTx) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if t.begun && len(t.held) == 0 {
		return postgresConn{q: t.c}.query(ctx, sql, args, row)
	}
	t.held = append(t.held, statement{sql: sql, args: args, row: row})
	_, err := t.flush(ctx)
	return err
}

func (t *postgresTx) exec(ctx context.Context, sql string, args []any) (int64, error) {
	t.held = append(t.held, statement{sql: sql, args: args})
	return t.flush(ctx)
}

// flush sends the statements that wait, and reads their results. It returns how
// many rows the last one affected.
func (t *postgresTx) flush(ctx context.Context) (affected int64, err error) {
	if len(t.held) == 0 {
		return 0, nil
	}
	if err := t.connect(ctx); err != nil {
		return 0, err
	}
	held := t.held
	t.held = nil
	if !t.begun {
		held = append([]statement{{sql: "begin"}}, held...)
		t.begun = true
	}
	return sendBatch(ctx, t.c.Conn(), held)
}

// sendBatch sends statements to the server together, and reads their results. It
// returns how many rows the last one affected.
func sendBatch(ctx context.Context, c *pgx.Conn, statements []statement) (affected int64, err error) {
	var b pgx.Batch
	for _, s := range statements {
		b.Queue(s.sql, s.args...)
	}
	results := c.SendBatch(ctx, &b)
	defer func() {
		if closed := results.Close(); err == nil {
			err = postgresError(ctx, closed)
		}
	}()
	for _, s := range statements {
		err := s.run(func(_ string, _ []any, row func(scan func(dest ...any) error) error) error {
			rows, err := results.Query()
			if err != nil {
				return postgresError(ctx, err)
			}
			err = readRows(ctx, rows, row)
			affected = rows.CommandTag().RowsAffected()
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return affected, nil
}

// postgresError classifies an error of pgx or of the server by its SQLSTATE.
func postgresError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		if errors.Is(err, pgx.ErrTxCommitRollback) {
			return err
		}
		// Without an answer of the server it is the connection that failed.
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	switch answer.Code {
	case "23505": // unique_violation
		return fmt.Errorf("%w: %w", errDuplicate, err)
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return fmt.Errorf("%w: %w", errRetry, err)
	case "25006": // read_only_sql_transaction: a standby, or a server set to read only
		return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	case "53100": // disk_full
		return fmt.Errorf("%w: %w", store.ErrDiskFull, err)
	case "53300": // too_many_connections
		return fmt.Errorf("%w: %w", store.ErrNoConnections, err)
	case "55P03", // lock_not_available
		"57014",          // query_canceled, by a timeout of the server
		"57P01", "57P02", // admin_shutdown, crash_shutdown
		"57P03", "57P05": // cannot_connect_now, idle_session_timeout
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	switch answer.Code[:min(2, len(answer.Code))] {
	case "08", // connection exception
		"28", // invalid authorization: the password was changed
		"3D", // the database is not there
		"53", // insufficient resources
		"58": // system error
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// parseError explains a URL that cannot be used. Where the URL holds a
// password the cause stays out, as its text may quote any part of the URL.
func parseError(databaseURL string, err error) error {
	const hint = "the database URL cannot be used; write it as postgres://user:password@host:5432/database?sslmode=require" +
		" with special characters percent-encoded"
	u, urlErr := url.Parse(databaseURL)
	if urlErr != nil {
		return errors.New(hint)
	}
	if _, has := u.User.Password(); has || strings.Contains(strings.ToLower(u.RawQuery), "pass") || strings.Contains(u.RawQuery, "%") {
		return errors.New(hint)
	}
	return fmt.Errorf("%s: %w", hint, err)
}
