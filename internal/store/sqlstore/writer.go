package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
// transaction, lends the connection to one waiting caller after the other, and
// commits for all of them together. Each function runs in its caller's own
// goroutine and in a savepoint: what it panics with or fails with stays its own.
type writer struct {
	conn      *sqliteConn
	requests  chan *request
	polls     chan chan<- int64
	closing   <-chan struct{}
	stopped   chan error
	log       *slog.Logger
	committed func(functions int)
}

// request is one call of update.
type request struct {
	// state decides whether the function runs or its caller has left.
	state atomic.Int32
	// alone asks for a transaction that is shared with nobody.
	alone bool
	// turn tells the caller to run its function now, or that it cannot.
	turn chan error
	// ran is told whether the function's writes are to be kept.
	ran chan bool
	// done tells how the commit went.
	done chan error
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

// update runs fn in a transaction. Until fn starts the end of ctx makes it
// leave; from then on it waits for the outcome.
func (w *writer) update(ctx context.Context, fn func(conn) error) error {
	err := w.submit(ctx, fn, false)
	if errors.Is(err, errLost) {
		// What ended the transaction may have been another's doing, such as a
		// row too large for the disk. Alone there is no one else to blame.
		err = w.submit(ctx, fn, true)
	}
	return err
}

func (w *writer) submit(ctx context.Context, fn func(conn) error, alone bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{alone: alone, turn: make(chan error, 1), ran: make(chan bool, 1), done: make(chan error, 1)}
	select {
	case w.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return errClosed
	}
	select {
	case err := <-r.turn:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		if err := <-r.turn; err != nil {
			return err
		}
	}
	handedBack := false
	defer func() {
		if !handedBack { // fn panicked
			r.ran <- false
		}
	}()
	err := fn(w.conn)
	handedBack = true
	r.ran <- err == nil
	if err != nil {
		return err
	}
	return <-r.done
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
		if w.lend(r) {
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

func (w *writer) waiting() *request {
	select {
	case r := <-w.requests:
		return r
	default:
		return nil
	}
}

// lend lets the request's function run in a savepoint and reports whether it
// waits for the commit.
func (w *writer) lend(r *request) bool {
	if !r.state.CompareAndSwap(waiting, started) {
		return false
	}
	if err := w.control("SAVEPOINT function"); err != nil {
		r.turn <- err
		return false
	}
	r.turn <- nil
	keep := <-r.ran
	if !keep && !w.conn.conn.AutocommitEnabled() {
		if err := w.control("ROLLBACK TO SAVEPOINT function"); err != nil {
			// Nothing that the function wrote may reach the commit.
			w.rollback()
			return false
		}
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
		r.turn <- err
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
