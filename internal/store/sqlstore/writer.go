package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// The bounds of what shares one commit. A commit costs a sync of the disk, so
// it is shared by the functions that queued while the last one was syncing;
// nobody waits for others to come.
const (
	maxBatch     = 256
	maxBatchTime = 5 * time.Millisecond
)

// writer owns the one connection that writes. Its goroutine opens a
// transaction, serves one waiting caller after the other, and commits for all of
// them together, with a savepoint for each: what one fails with stays its own.
//
// A function runs in its caller's own goroutine. Until it waits for the result of
// a statement it needs no connection. One that never does hands over its
// statements when it has returned; to another one the connection is lent from
// there to its end, and what it panics with stays its own too.
type writer struct {
	conn      *sqliteConn
	requests  chan *request
	polls     chan chan<- int64
	closing   <-chan struct{}
	stopped   chan error
	log       *slog.Logger
	committed func(functions int)
}

// request asks for the connection, or has statements run.
type request struct {
	// state decides whether it is served or its caller has left.
	state atomic.Int32
	// alone asks for a transaction that is shared with nobody.
	alone bool
	// statements are to be run; without any the connection is to be lent.
	statements []statement
	// turn tells the caller that it has the connection, or that it will not.
	turn chan error
	// ran is told by the caller whether its writes are to be kept.
	ran chan bool
	// done tells how it went.
	done chan error
}

func newRequest(alone bool, statements []statement) *request {
	r := &request{alone: alone, statements: statements, done: make(chan error, 1)}
	if statements == nil {
		r.turn, r.ran = make(chan error, 1), make(chan bool, 1)
	}
	return r
}

// refuse tells the caller that nothing was run.
func (r *request) refuse(err error) {
	if r.statements == nil {
		r.turn <- err
	} else {
		r.done <- err
	}
}

const (
	waiting int32 = iota
	started
	abandoned
)

// errLost is told to those whose shared transaction could not be completed.
var errLost = errors.New("shared transaction lost")

func startWriter(c *sqliteConn, closing <-chan struct{}, opts Options) *writer {
	w := &writer{
		conn:      c,
		requests:  make(chan *request), // unbuffered: a request is in the hands of one side at any time
		polls:     make(chan chan<- int64),
		closing:   closing,
		stopped:   make(chan error, 1),
		log:       opts.logger(),
		committed: opts.committed,
	}
	go w.run()
	return w
}

// update runs fn in a transaction. Until the transaction begins the end of ctx
// makes it leave; from then on it waits for the outcome.
func (w *writer) update(ctx context.Context, fn func(txConn) error) error {
	err := w.attempt(ctx, fn, false)
	if errors.Is(err, errLost) {
		// What ended the transaction may have been another's doing, such as a
		// row too large for the disk. Alone there is no one else to blame.
		err = w.attempt(ctx, fn, true)
	}
	return err
}

func (w *writer) attempt(ctx context.Context, fn func(txConn) error, alone bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.closing:
		return errClosed
	default:
	}
	t := &sqliteTx{writer: w, alone: alone}
	handedBack := false
	defer func() {
		if t.lent != nil && !handedBack { // fn panicked
			t.lent.ran <- false
		}
	}()
	err := fn(t)
	handedBack = true
	if t.lent != nil {
		t.lent.ran <- err == nil
	}
	switch {
	case err != nil:
		return err
	case t.lent != nil:
		return <-t.lent.done
	case len(t.held) == 0:
		return nil
	}
	r := newRequest(alone, t.held)
	return w.submit(ctx, r, r.done)
}

// submit hands over a request and waits for the answer.
func (w *writer) submit(ctx context.Context, r *request, answer <-chan error) error {
	select {
	case w.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		return <-answer
	}
}

// sqliteTx is a transaction of the writer.
type sqliteTx struct {
	writer *writer
	alone  bool
	// held are statements from before the connection was needed.
	held []statement
	// lent is the request that the connection was lent for.
	lent *request
}

// borrow waits for the connection, and runs what was held.
func (t *sqliteTx) borrow(ctx context.Context) error {
	if t.lent != nil {
		return nil
	}
	r := newRequest(t.alone, nil)
	if err := t.writer.submit(ctx, r, r.turn); err != nil {
		return err
	}
	t.lent = r
	held := t.held
	t.held = nil
	return t.writer.runAll(held)
}

func (t *sqliteTx) query(ctx context.Context, sql string, args []any, row func(scan func(dest ...any) error) error) error {
	if err := t.borrow(ctx); err != nil {
		return err
	}
	return t.writer.conn.query(ctx, sql, args, row)
}

func (t *sqliteTx) exec(ctx context.Context, sql string, args []any) (int64, error) {
	if err := t.borrow(ctx); err != nil {
		return 0, err
	}
	return t.writer.conn.exec(ctx, sql, args)
}

func (t *sqliteTx) later(_ context.Context, s statement) error {
	if t.lent != nil {
		return s.run(t.writer.conn.run)
	}
	t.held = append(t.held, s)
	return nil
}

// number is 0: one connection writes.
func (t *sqliteTx) number(context.Context) (int, error) { return 0, nil }

// runAll runs statements until one fails.
func (w *writer) runAll(statements []statement) error {
	for _, s := range statements {
		if err := s.run(w.conn.run); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) run() {
	for {
		select {
		case r := <-w.requests:
			w.serve(r)
		case answer := <-w.polls:
			answer <- w.dataVersion()
		case <-w.closing:
			w.stopped <- w.conn.close()
			return
		}
	}
}

// serve runs the request and those behind it, until a bound is reached or none
// is waiting. A request that must be alone ends the batch before it.
func (w *writer) serve(r *request) {
	for r != nil {
		r = w.batch(r)
	}
}

// batch runs one shared transaction and returns a request that it took but
// could not include.
func (w *writer) batch(first *request) (next *request) {
	if err := w.control("BEGIN IMMEDIATE"); err != nil {
		w.refuse(first, err)
		return nil
	}
	began := time.Now()
	var kept []*request
	for r := first; ; {
		if w.perform(r) {
			kept = append(kept, r)
		}
		if w.conn.conn.AutocommitEnabled() {
			// SQLite has rolled the whole transaction back, as it does on a
			// full disk.
			w.finish(kept, errLost)
			return nil
		}
		if first.alone || len(kept) == maxBatch || time.Since(began) > maxBatchTime {
			break
		}
		if r = w.waiting(); r == nil {
			break
		}
		if r.alone {
			next = r
			break
		}
	}
	err := w.control("COMMIT")
	if err != nil {
		w.rollback()
		if !first.alone {
			err = errLost
		}
	} else if w.committed != nil {
		w.committed(len(kept))
	}
	w.finish(kept, err)
	return next
}

// waiting returns a request that waits, or nil. Before it finds that there is none
// it lets others have the processor once: callers that are about to ask may have
// been ready for longer than a sync takes. With them commits are half as large
// again, and where nobody is ready it costs nothing.
func (w *writer) waiting() *request {
	for try := range 2 {
		if try > 0 {
			runtime.Gosched()
		}
		select {
		case r := <-w.requests:
			return r
		default:
		}
	}
	return nil
}

// perform runs the request in a savepoint and reports whether it waits for the
// commit.
func (w *writer) perform(r *request) bool {
	if !r.state.CompareAndSwap(waiting, started) {
		return false
	}
	if err := w.control("SAVEPOINT function"); err != nil {
		r.refuse(err)
		return false
	}
	var err error
	var keep bool
	if r.statements != nil {
		err = w.runAll(r.statements)
		keep = err == nil
	} else {
		r.turn <- nil
		keep = <-r.ran
	}
	if !keep && !w.conn.conn.AutocommitEnabled() {
		if err := w.control("ROLLBACK TO SAVEPOINT function"); err != nil {
			// Nothing that the function wrote may reach the commit.
			w.rollback()
		}
	}
	if err != nil {
		r.done <- err
	}
	if !w.conn.conn.AutocommitEnabled() {
		if err := w.control("RELEASE SAVEPOINT function"); err != nil {
			w.rollback()
		}
	}
	return keep
}

// refuse answers a request whose transaction could not begin.
func (w *writer) refuse(r *request, err error) {
	if r.state.CompareAndSwap(waiting, started) {
		r.refuse(err)
	}
}

func (w *writer) finish(kept []*request, err error) {
	for _, r := range kept {
		switch {
		case err == nil:
			r.done <- nil
		case r.alone:
			r.done <- fmt.Errorf("%w: the transaction could not be committed: %w", store.ErrUnavailable, err)
		default:
			r.done <- err
		}
	}
}

func (w *writer) rollback() {
	if w.conn.conn.AutocommitEnabled() {
		return
	}
	if err := w.control("ROLLBACK"); err != nil {
		w.log.Error("database transaction cannot be rolled back", "error", err)
	}
}

func (w *writer) control(sql string) error {
	_, err := w.conn.exec(context.Background(), sql, nil)
	return err
}
