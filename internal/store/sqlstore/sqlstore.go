// Package sqlstore is the store over SQL databases: embedded SQLite and
// PostgreSQL. It holds all the SQL of Weir.
//
// One body of statements, written with PostgreSQL's placeholders, serves both;
// what differs is data in [dialect]. A backend lends connections: SQLite's has
// one writer that joins concurrent transactions into one commit, PostgreSQL's
// relies on row locks and runs a transaction again when the server asks for it.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/store"
)

// Options are the settings that both backends share.
type Options struct {
	// Logger gets the migrations applied and what goes wrong without an error
	// to return; nil discards.
	Logger *slog.Logger
	// NotifyKinds are the kinds of which Watch tells, here and in other
	// processes on the same database, which should all have the same list; nil
	// means every kind. On PostgreSQL the transactions that change one of them
	// commit one after the other, so it pays to name only what is cached.
	NotifyKinds []string
	// CacheBytes is how much memory is used for what was read, on SQLite; 0 is none,
	// and less than 32 MiB counts as that. Reads then see the commits of other
	// processes half a second later at most.
	CacheBytes int
	// Beside is for who works beside a server: on SQLite Update takes 0.6 seconds
	// more, until every other process has been told by Watch, and reads what was
	// written.
	Beside bool

	// newest overrides the newest schema version that this program knows.
	newest int64
	// committed, where set, is told the number of functions in each commit.
	committed func(functions int)
	// lease, where set, takes the place of cacheLease.
	lease time.Duration
	// polled, where set, is told of each look at what others changed, with the data
	// version or -1.
	polled func(version int64)
}

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Open opens the PostgreSQL database at databaseURL (postgres://… or
// postgresql://…), or with an empty URL the SQLite database in dataDir, and
// brings its schema up to date.
func Open(ctx context.Context, databaseURL, dataDir string, opts Options) (store.Store, error) {
	switch scheme, _, _ := strings.Cut(databaseURL, "://"); {
	case databaseURL == "":
		return OpenSQLite(ctx, dataDir, opts)
	case scheme == "postgres" || scheme == "postgresql":
		return OpenPostgres(ctx, databaseURL, opts)
	}
	// The URL itself stays out of the error, since it may hold a password.
	return nil, errors.New("the database URL must begin with postgres:// or postgresql://; leave it empty for the embedded database")
}

// conn is what the statements need of a database connection. Its methods
// return errors that the backend has classified: they wrap errDuplicate,
// errRetry, store.ErrUnavailable or a context's error where that applies.
type conn interface {
	// query calls row for each row of the result, with a function that copies
	// its columns into *int64, *string or *[]byte.
	query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error
	// exec reports the number of rows affected.
	exec(ctx context.Context, sql string, args []any) (int64, error)
}

// txConn is the connection of a transaction. The transaction begins with the
// first statement whose result is waited for, or when the function that it is
// lent to has returned.
type txConn interface {
	conn
	// later has a statement run before the next one, or else before the commit. Its
	// error is that of the one, or of the transaction. Each statement sees what was
	// committed when it began, as ever.
	later(ctx context.Context, s statement) error
	// number is for what is spread over connections: in a process it goes up from
	// one to the next. It is not negative.
	number(ctx context.Context) (int, error)
}

// statement is one that nobody waits for.
type statement struct {
	sql  string
	args []any
	// row is called for each row of the result, and end after the last one. Their
	// errors undo the transaction. Both may be nil, may be called from another
	// goroutine, and must not wait for anything.
	row func(scan func(dest ...any) error) error
	end func() error
}

// run gives the statement to what runs queries.
func (s statement) run(query func(sql string, args []any, row func(scan func(dest ...any) error) error) error) error {
	row := s.row
	if row == nil {
		row = func(func(...any) error) error { return nil }
	}
	err := query(s.sql, s.args, row)
	if err == nil && s.end != nil {
		err = s.end()
	}
	return err
}

// backend lends connections.
type backend interface {
	// read lends a connection for one statement outside any transaction.
	read(ctx context.Context, fn func(conn) error) error
	// snapshot lends a connection that sees the database as it is at one moment.
	snapshot(ctx context.Context, fn func(conn) error) error
	// update runs fn in a transaction and returns once that is durable. There is none
	// unless fn asks or leaves something to be run.
	update(ctx context.Context, fn func(txConn) error) error
	// announce, called at the end of a transaction, lets other processes know
	// of its changes once it is committed.
	announce(ctx context.Context, c txConn, change store.Change) error
	// send hands a text to every process that hears, this one included, where
	// several may serve the database, and else to the feed.
	send(ctx context.Context, f *feed, text string) error
	// follow begins to tell the feed of what other processes change, until
	// close. It is called once at most, and not after close.
	follow(f *feed)
	close() error
}

var (
	// errDuplicate is wrapped by a violation of a unique index.
	errDuplicate = errors.New("duplicate")
	// errRetry is wrapped where the database asks to run the transaction again.
	errRetry = errors.New("transaction must be run again")
	// errAssumed is wrapped where a transaction took something for granted that does
	// not hold.
	errAssumed = errors.New("transaction must be run again without assumptions")
	// errOutcomeUnknown is wrapped where a transaction may be committed or not.
	errOutcomeUnknown = errors.New("the connection broke during the commit, which may have been kept")
	// errEnded is returned by a transaction that is used after its end.
	errEnded = errors.New("store: transaction used after its end")
)

// maxTold is the greatest length of a text in bytes that Tell takes.
const maxTold = 7000

// db is a store over a backend.
type db struct {
	dialect *dialect
	backend backend
	feed    *feed
	follow  sync.Once
	// cache answers reads; it is nil where none is wanted.
	cache  *cache
	events watermark
	// shared lets functions that ask nothing share a transaction. It is nil where commits
	// alone are shared.
	shared *gather[*tx]
	limits limits
	// refusals are what undid shared transactions a moment ago.
	refusals refusals
	// refused is how the database refused the last transaction, or nil.
	refused atomic.Pointer[refusal]
}

// refusal is that the database took no transaction.
type refusal struct {
	err error
	at  time.Time
}

// doubt is how long after a refusal a write that changes nothing proves nothing:
// on a disk that is nearly full small ones go on.
const doubt = 5 * time.Second

func newDB(d *dialect, b backend, c *cache, opts Options) *db {
	s := &db{dialect: d, backend: b, cache: c, feed: newFeed(opts.NotifyKinds), events: newWatermark()}
	if c != nil {
		s.follow.Do(func() { b.follow(s.feed) })
	}
	return s
}

var _ store.Store = (*db)(nil)

func (s *db) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	var memory [128]byte
	asked := s.cache.row(memory[:0], key)
	if asked.open {
		if entry, ok := s.cache.answer(nil, asked); ok && ctx.Err() == nil {
			r := rowScan{Row: store.Row{Key: key, Org: org}}
			d := decoder(entry[stampLength:])
			if d.row(&r); org != "" && r.Org != org {
				return nil, store.ErrNotFound
			}
			return &r.Row, nil
		}
	}
	row, err := s.get(ctx, org, key)
	if err == nil && asked.open {
		room := rooms.Get().(*[]byte)
		*room = appendRow(asked.newEntry((*room)[:0]), row)
		s.cache.keep(asked, *room)
		giveBack(room)
	}
	return row, err
}

func (s *db) get(ctx context.Context, org string, key store.Key) (row *store.Row, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		row, err = reader{s.dialect, c}.Get(ctx, org, key)
		return err
	})
	return row, err
}

func (s *db) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	return collect(q, func(f func(*store.Row) error) error { return s.Visit(ctx, q, f) })
}

func (s *db) Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	var memory [256]byte
	asked := s.cache.list(memory[:0], q)
	if !asked.open {
		return s.visit(ctx, q, f)
	}
	room := rooms.Get().(*[]byte)
	defer giveBack(room) // also where f panics
	entry, ok := s.cache.answer((*room)[:0], asked)
	*room = entry
	if ok && ctx.Err() == nil {
		return visitEntry(entry[stampLength:], q, f)
	}
	add := appendListed
	if q.BodyOnly {
		add = appendBody
	}
	entry = asked.newEntry(entry[:0])
	err := s.visit(ctx, q, func(row *store.Row) error {
		if len(entry) <= maxCacheEntry {
			entry = add(entry, row)
		}
		return f(row)
	})
	*room = entry
	if err == nil {
		s.cache.keep(asked, entry)
	}
	return err
}

func (s *db) visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	return s.backend.read(ctx, func(c conn) error { return reader{s.dialect, c}.Visit(ctx, q, f) })
}

func (s *db) Count(ctx context.Context, q store.Query) (n int64, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		n, err = reader{s.dialect, c}.Count(ctx, q)
		return err
	})
	return n, err
}

func (s *db) Referrers(ctx context.Context, to store.Key, limit int) (refs []store.Referrer, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		refs, err = reader{s.dialect, c}.Referrers(ctx, to, limit)
		return err
	})
	return refs, err
}

func (s *db) Setting(ctx context.Context, name string) (value []byte, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		value, err = reader{s.dialect, c}.Setting(ctx, name)
		return err
	})
	return value, err
}

func (s *db) EventSizes(ctx context.Context, after int64, limit int) (sizes []store.EventSize, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		sizes, err = reader{s.dialect, c}.EventSizes(ctx, after, limit)
		return err
	})
	return sizes, err
}

func (s *db) Counters(ctx context.Context, org, subject string) (values map[string]int64, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		values, err = reader{s.dialect, c}.Counters(ctx, org, subject)
		return err
	})
	return values, err
}

func (s *db) CountersNamed(ctx context.Context, name string) (values map[store.Counter]int64, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		values, err = reader{s.dialect, c}.CountersNamed(ctx, name)
		return err
	})
	return values, err
}

func (s *db) Limits(ctx context.Context, org string) (limits map[string]int64, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		limits, err = reader{s.dialect, c}.Limits(ctx, org)
		return err
	})
	return limits, err
}

func (s *db) Ping(ctx context.Context) error {
	if r := s.refused.Load(); r != nil && time.Since(r.at) < doubt {
		return r.err
	} else if r != nil {
		return s.settle(s.backend.update(ctx, func(c txConn) error {
			_, err := c.exec(ctx, rewriteSQL, nil)
			return err
		}))
	}
	return s.backend.read(ctx, func(c conn) error {
		_, err := c.exec(ctx, pingSQL, nil)
		return err
	})
}

// settle notes what the outcome of a transaction says of the database, and
// returns it.
func (s *db) settle(err error) error {
	switch {
	case err == nil:
		// A load is cheaper than a store where many write.
		if s.refused.Load() != nil {
			s.refused.Store(nil)
		}
	case errors.Is(err, store.ErrUnavailable):
		s.refused.Store(&refusal{err, time.Now()})
	}
	return err
}

// manner is how a transaction is run.
type manner int

const (
	// together lets it share a transaction of the database with others, if it asks
	// nothing, and assume what alone does.
	together manner = iota
	// alone lets it assume that it collides with nothing and comes near no limit: then
	// what it writes needs no answers, and can go to the database at once. What it
	// found out under a wrong assumption counts for nothing.
	alone
	// careful lets it assume nothing.
	careful
)

func (s *db) Update(ctx context.Context, fn func(store.Tx) error) error {
	how := together
	if s.shared == nil {
		how = alone
	}
	err := s.attempt(ctx, fn, how)
	if errors.Is(err, errGathered) {
		err = s.attempt(ctx, fn, alone)
	}
	if errors.Is(err, errAssumed) {
		err = s.attempt(ctx, fn, careful)
	}
	return s.settle(err)
}

// attempt runs fn in a transaction.
func (s *db) attempt(ctx context.Context, fn func(store.Tx) error, how manner) error {
	var written changes
	under := writes{cache: s.cache} // of all runs
	defer under.end()
	err := s.backend.update(ctx, func(c txConn) error {
		written = changes{feed: s.feed, writes: &under} // of this run alone
		t := s.newTx(c, &written)
		defer func() { t.conn.ended = true }()
		t.assume = how != careful
		err := fn(t)
		if err != nil && t.assumed > 0 && t.conn.err == nil {
			return fmt.Errorf("%w: %w", errAssumed, err)
		}
		if err == nil && how == together && s.join(t) {
			return s.shared.do(ctx, t)
		}
		if err == nil {
			err = s.complete(ctx, t, t.tallied.deltas())
		}
		// A statement that failed has left the transaction in doubt, whatever
		// fn made of it; and a request to run again is not for fn to answer.
		if failed := t.conn.err; failed != nil && (err == nil || errors.Is(failed, errRetry) || errors.Is(failed, errAssumed)) {
			return failed
		}
		return err
	})
	if err == nil || errors.Is(err, errOutcomeUnknown) {
		s.feed.tell(written.Change)
	}
	return err
}

func (s *db) newTx(c txConn, written *changes) *tx {
	guard := &guardedConn{txConn: c}
	return &tx{reader: reader{s.dialect, guard}, conn: guard, written: written, limits: &s.limits}
}

// complete does what comes after all that the transaction's function did.
func (s *db) complete(ctx context.Context, t *tx, counted []delta) error {
	err := t.count(ctx, counted)
	if err == nil {
		err = t.insertEvents(ctx)
	}
	if err == nil && !t.written.empty() {
		err = s.backend.announce(ctx, t.conn, t.written.Change)
	}
	return err
}

func (s *db) Tell(ctx context.Context, text string) error {
	if len(text) > maxTold {
		return fmt.Errorf("store: a text of %d bytes cannot be told, at most %d", len(text), maxTold)
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return errors.New("store: what is told must be UTF-8 without NUL bytes")
	}
	return s.backend.send(ctx, s.feed, text)
}

func (s *db) Hear(f func(string)) (stop func()) {
	stop = s.feed.hearers.add(f)
	s.follow.Do(func() { s.backend.follow(s.feed) })
	return stop
}

func (s *db) Watch(f func(store.Change)) (stop func()) {
	stop = s.feed.add(f)
	s.follow.Do(func() { s.backend.follow(s.feed) })
	return stop
}

func (s *db) Close() error {
	s.follow.Do(func() {}) // from here on nothing is there to follow
	err := s.backend.close()
	s.cache.close()
	return err
}

// guardedConn refuses work after the first failure and after the end of the
// transaction, so that a transaction that lost a write cannot commit the rest
// and nobody writes through a connection that was handed back.
type guardedConn struct {
	txConn
	err   error
	ended bool
}

func (g *guardedConn) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if err := g.refusal(); err != nil {
		return err
	}
	return g.note(g.txConn.query(ctx, sql, args, row))
}

func (g *guardedConn) exec(ctx context.Context, sql string, args []any) (int64, error) {
	if err := g.refusal(); err != nil {
		return 0, err
	}
	n, err := g.txConn.exec(ctx, sql, args)
	return n, g.note(err)
}

func (g *guardedConn) later(ctx context.Context, s statement) error {
	if err := g.refusal(); err != nil {
		return err
	}
	return g.note(g.txConn.later(ctx, s))
}

func (g *guardedConn) refusal() error {
	if g.ended {
		return errEnded
	}
	return g.err
}

func (g *guardedConn) note(err error) error {
	if err != nil && !errors.Is(err, errDuplicate) {
		g.err = err
	}
	return err
}
