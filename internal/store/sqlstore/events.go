package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	eventsSQL         = "SELECT seq, org, at, body FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"
	eventsBackwardSQL = "SELECT seq, org, at, body FROM events WHERE seq < $1 AND seq <= $2 ORDER BY seq DESC LIMIT $3"
	eventSizesSQL     = "SELECT seq, at, length(body) FROM events WHERE seq > $1 ORDER BY seq LIMIT $2"
	removeEventsSQL   = "DELETE FROM events WHERE seq <= $1"

	lastEventSQL = "SELECT coalesce(max(seq), 0) FROM events"
	// horizonSQL reads the last event, and below which ID all transactions had
	// ended when it was.
	horizonSQL = "SELECT coalesce(max(seq), 0), pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM events"
	// nextXactSQL takes an ID: every transaction that has one by now has a
	// smaller one. The snapshot's own xmax would not do, as it says only which
	// IDs had ended, and transactions with greater ones may be under way.
	nextXactSQL = "SELECT pg_current_xact_id()::text::bigint"
)

// watermark finds out up to which number the log is complete.
//
// PostgreSQL gives out numbers before the commit. So when an event is visible,
// a transaction with a smaller number may still be open. It has its ID by then,
// since it takes the ID first, and so it has ended once all transactions have
// that had an ID when the event was seen.
type watermark struct {
	// turn holds a place for the one that looks.
	turn chan struct{}
	// complete is the number up to which no event will appear any more.
	complete int64
	// last was the last event at some time, and is complete once all
	// transactions below the ID have ended; the ID is zero where none is waited
	// for.
	last, below int64
}

func newWatermark() watermark { return watermark{turn: make(chan struct{}, 1)} }

// lastEvent returns the number up to which the log is complete.
func (s *db) lastEvent(ctx context.Context) (int64, error) {
	var last int64
	if !s.dialect.lateEvents {
		return last, s.readOne(ctx, lastEventSQL, &last)
	}
	w := &s.events
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	// Mostly nothing else is under way, so that what was seen first is complete
	// by the second look.
	for range 2 {
		var ended int64
		if err := s.readOne(ctx, horizonSQL, &last, &ended); err != nil {
			return 0, err
		}
		if w.below != 0 && ended >= w.below {
			w.complete, w.below = max(w.complete, w.last), 0
		}
		if last <= w.complete || w.below != 0 {
			break
		}
		var next int64
		if err := s.readOne(ctx, nextXactSQL, &next); err != nil {
			return 0, err
		}
		w.last, w.below = last, next
	}
	return w.complete, nil
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
			var e store.Event
			var at int64
			if err := scan(&e.Seq, &e.Org, &at, &e.Body); err != nil {
				return err
			}
			e.At = time.UnixMicro(at).UTC()
			events = append(events, e)
			return nil
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
	return t.guard.refusal()
}

// insertEvents writes what was appended. It is the last thing that a
// transaction does, while all of its locks are held.
func (t *tx) insertEvents(ctx context.Context) error {
	for events := t.events; len(events) > 0; {
		batch := events[:min(len(events), t.dialect.eventBatch)]
		events = events[len(batch):]
		sql, args := t.dialect.insertEvents(batch)
		if _, err := t.conn.exec(ctx, sql, args); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) RemoveEvents(ctx context.Context, through int64) error {
	_, err := t.conn.exec(ctx, removeEventsSQL, []any{through})
	return err
}
