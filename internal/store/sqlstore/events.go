package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	eventsSQL         = "SELECT seq, org, at, body FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"
	eventsBackwardSQL = "SELECT seq, org, at, body FROM events WHERE seq < $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3"
	logSQL            = "SELECT seq, org, at, body FROM events WHERE seq > $1 ORDER BY seq LIMIT $2"
	eventSizesSQL     = "SELECT seq, at, length(body) FROM events WHERE seq > $1 ORDER BY seq LIMIT $2"
	removeEventsSQL   = "DELETE FROM events WHERE seq <= $1"

	lastEventSQL = "SELECT coalesce(max(seq), 0) FROM events"

	// appendLock is what a transaction on PostgreSQL holds, shared with others,
	// from before it takes the number of an event until after its end.
	appendLock = "2003134834, 1"
	// appendingSQL names the transactions that hold it.
	appendingSQL = "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND granted" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())" +
		" AND classid = 2003134834 AND objid = 1 AND objsubid = 2"
)

// watermark finds out up to which number the log is complete.
//
// PostgreSQL gives out numbers before the commit. So when an event is visible,
// a transaction with a smaller number may still be open. It holds the lock by
// then, and so it has ended once all have that held the lock when the event had
// been seen.
type watermark struct {
	// turn holds a place for the one that looks.
	turn chan struct{}
	// complete is the number up to which no event will appear any more.
	complete int64
	// last was the last event at some time, and is complete once all of the
	// transactions have ended. There are none where nothing is waited for.
	last    int64
	waiting []string
}

func newWatermark() watermark { return watermark{turn: make(chan struct{}, 1)} }

// lastEvent returns the number up to which the log is complete.
func (s *db) lastEvent(ctx context.Context) (int64, error) {
	var last int64
	if err := s.readOne(ctx, lastEventSQL, &last); err != nil || !s.dialect.lateEvents {
		return last, err
	}
	w := &s.events
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if last <= w.complete {
		return w.complete, nil
	}
	// Whoever has a number up to the last one holds the lock, or has ended.
	appending, err := s.appending(ctx)
	if err != nil {
		return 0, err
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(t string) bool { return !slices.Contains(appending, t) })
	if len(w.waiting) == 0 {
		w.complete = max(w.complete, w.last)
		w.last, w.waiting = last, appending
	}
	if len(w.waiting) == 0 {
		w.complete = max(w.complete, w.last)
	}
	return w.complete, nil
}

// appending returns the transactions that hold the lock.
func (s *db) appending(ctx context.Context) (transactions []string, err error) {
	err = s.backend.read(ctx, func(c conn) error {
		transactions = nil
		return c.query(ctx, appendingSQL, nil, func(scan func(...any) error) error {
			var t string
			if err := scan(&t); err != nil {
				return err
			}
			transactions = append(transactions, t)
			return nil
		})
	})
	return transactions, err
}

func (s *db) readOne(ctx context.Context, sql string, dest ...any) error {
	return s.backend.read(ctx, func(c conn) error {
		return c.query(ctx, sql, nil, func(scan func(...any) error) error { return scan(dest...) })
	})
}

func (s *db) Events(ctx context.Context, q store.EventQuery) ([]store.Event, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("store: events limit is %d, it must be at least 1", q.Limit)
	}
	last, err := s.lastEvent(ctx)
	if err != nil {
		return nil, err
	}
	sql := eventsSQL
	if q.Backward {
		sql = eventsBackwardSQL
		if q.After == 0 {
			q.After = last + 1
		}
	}
	var events []store.Event
	err = s.backend.read(ctx, func(c conn) error {
		events = nil
		return c.query(ctx, sql, []any{q.After, last, int64(q.Limit)}, func(scan func(...any) error) error {
			e, err := scanEvent(scan)
			events = append(events, e)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

func (r reader) EventSizes(ctx context.Context, after int64, limit int) ([]store.EventSize, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: events limit is %d, it must be at least 1", limit)
	}
	var sizes []store.EventSize
	err := r.conn.query(ctx, eventSizesSQL, []any{after, int64(limit)}, func(scan func(...any) error) error {
		var e store.EventSize
		var at int64
		if err := scan(&e.Seq, &at, &e.Bytes); err != nil {
			return err
		}
		e.At = time.UnixMicro(at).UTC()
		sizes = append(sizes, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sizes, nil
}

func (t *tx) Append(events ...store.Event) error {
	for _, e := range events {
		if err := checkText("the organization of an event", e.Org, maxShort); err != nil {
			return err
		}
	}
	t.events = append(t.events, events...)
	return t.conn.refusal()
}

// insertEvents writes what was appended. It is the last thing that a
// transaction does, while all of its locks are held.
func (t *tx) insertEvents(ctx context.Context) error {
	for events := t.events; len(events) > 0; {
		batch := events[:min(len(events), t.dialect.eventBatch)]
		events = events[len(batch):]
		sql, args := t.dialect.insertEvents(batch)
		if err := t.conn.later(ctx, statement{sql: sql, args: args}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) RemoveEvents(ctx context.Context, through int64) error {
	_, err := t.conn.exec(ctx, removeEventsSQL, []any{through})
	return err
}
