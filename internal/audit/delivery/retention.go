package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// retentionKey is the row that says which events were removed, and what the
// others take.
var retentionKey = store.Key{Kind: cursorKind, ID: "retention"}

// trimBatch is how many events are counted or removed in one transaction.
const trimBatch = 2000

// retained is the content of that row.
type retained struct {
	// Removed is the last event that was removed. Counted is the last one whose
	// size is part of Bytes, which is what the events between the two take.
	Removed int64 `json:"removed"`
	Counted int64 `json:"counted"`
	Bytes   int64 `json:"bytes"`
}

// readRetained returns the content of the row, which is empty at first.
func readRetained(ctx context.Context, r store.Reader) (retained, error) {
	row, err := r.Get(ctx, "", retentionKey)
	if errors.Is(err, store.ErrNotFound) {
		return retained{}, nil
	}
	if err != nil {
		return retained{}, err
	}
	return decodeRetained(row)
}

func decodeRetained(row *store.Row) (retained, error) {
	var r retained
	if err := json.Unmarshal(row.Body, &r); err != nil {
		return r, fmt.Errorf("what is retained of the audit log cannot be read: %w", err)
	}
	return r, nil
}

// Bounds are how much of the log is kept. Zero is no bound.
type Bounds struct {
	// Age is how old an event may become, Bytes what all of them may take: the
	// sum of their lengths, without what the database adds to it.
	Age   time.Duration
	Bytes int64
}

// trim removes the oldest events beyond the bounds, delivered or not, and
// returns what is retained, and the events that it removed. Any number of
// processes may call it at the same time.
func trim(ctx context.Context, s store.Store, bounds Bounds, now time.Time) (state retained, removed []store.EventSize, err error) {
	last, err := s.Events(ctx, store.EventQuery{Backward: true, Limit: 1})
	if err != nil || len(last) == 0 {
		return retained{}, nil, err
	}
	for {
		var batch []store.EventSize
		more := false
		err := s.Update(ctx, func(tx store.Tx) error {
			var err error
			state, batch, more, err = trimOnce(ctx, tx, bounds, now, last[0].Seq)
			return err
		})
		if err != nil {
			return state, removed, err
		}
		removed = append(removed, batch...)
		if !more {
			return state, removed, nil
		}
	}
}

// trimOnce counts some events up to the last one, and when all are counted
// removes some.
func trimOnce(ctx context.Context, tx store.Tx, bounds Bounds, now time.Time, last int64) (state retained, removed []store.EventSize, more bool, err error) {
	row, err := lockRetained(ctx, tx, now)
	if err != nil {
		return state, nil, false, err
	}
	if state, err = decodeRetained(row); err != nil {
		return state, nil, false, err
	}
	before := state
	fresh, err := tx.EventSizes(ctx, state.Counted, trimBatch)
	if err != nil {
		return state, nil, false, err
	}
	for _, e := range fresh {
		// Behind the last one others may still appear.
		if e.Seq <= last {
			state.Counted, state.Bytes = e.Seq, state.Bytes+e.Bytes
		}
	}
	more = len(fresh) == trimBatch && state.Counted < last
	if !more {
		oldest, err := tx.EventSizes(ctx, state.Removed, trimBatch)
		if err != nil {
			return state, nil, false, err
		}
		for _, e := range oldest {
			old := bounds.Age > 0 && now.Sub(e.At) > bounds.Age
			much := bounds.Bytes > 0 && state.Bytes > bounds.Bytes
			if e.Seq > state.Counted || !old && !much {
				break
			}
			state.Removed, state.Bytes = e.Seq, state.Bytes-e.Bytes
			removed = append(removed, e)
		}
		if len(removed) > 0 {
			if err := tx.RemoveEvents(ctx, state.Removed); err != nil {
				return state, nil, false, err
			}
		}
		more = len(removed) == trimBatch
	}
	if state != before {
		row.Body, row.Updated = encode(state), now
		err = tx.Update(ctx, row, nil)
	}
	return state, removed, more, err
}

func lockRetained(ctx context.Context, tx store.Tx, now time.Time) (*store.Row, error) {
	row, err := tx.Lock(ctx, "", retentionKey)
	if !errors.Is(err, store.ErrNotFound) {
		return row, err
	}
	row = &store.Row{Key: retentionKey, Created: now, Updated: now, Body: encode(retained{})}
	if err := tx.Insert(ctx, row, nil); err == nil || !errors.As(err, new(*store.ErrTaken)) {
		return row, err
	}
	return tx.Lock(ctx, "", retentionKey) // another process was quicker
}
