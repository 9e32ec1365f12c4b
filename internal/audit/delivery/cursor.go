package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// cursorKind is the kind of the rows that positions in the log are kept in,
// which belong to no organization and are no objects of the API.
const cursorKind = "weir.audit/v1.Cursor"

// position is how far a sink was given the log.
type position struct {
	// Seq is the last event that was delivered.
	Seq int64 `json:"seq"`
	// Holder is the process that delivers; Fence counts how often it changed.
	Holder string `json:"holder,omitempty"`
	Fence  int64  `json:"fence"`
}

// cursor is the position of one sink, which one process at a time may move.
//
// Clocks of several machines do not agree, so the database holds no time at
// which a holder's right ends. Who waits for it watches the row instead: a
// holder writes it again and again as long as it is delivering, and one that
// leaves it as it is for the length of a lease, while there is something to
// deliver, has died.
type cursor struct {
	store  store.Store
	key    store.Key
	holder string
	lease  time.Duration

	// held is the version of the row when this process wrote it last, renewed
	// when that was; zero where it is not the holder.
	held    int64
	renewed time.Time
	// seen is the version of another holder's row, since when.
	seen      int64
	seenSince time.Time
}

// errOver ends a delivery that is done.
var errOver = errors.New("the delivery is over")

// errLost is returned where another process has become the holder.
var errLost = errors.New("another process delivers to this sink now")

// read returns the position with the version of its row. A sink that has none
// begins with the oldest event that is there.
func (c *cursor) read(ctx context.Context) (position, int64, error) {
	row, err := c.store.Get(ctx, "", c.key)
	if errors.Is(err, store.ErrNotFound) {
		err = c.store.Update(ctx, func(tx store.Tx) error {
			kept, err := readRetained(ctx, tx)
			if err != nil {
				return err
			}
			now := time.Now()
			r := &store.Row{Key: c.key, Created: now, Updated: now, Body: encode(position{Seq: kept.Removed})}
			if err := tx.Insert(ctx, r, nil); errors.As(err, new(*store.ErrTaken)) {
				return nil // another process was quicker
			} else if err != nil {
				return err
			}
			return nil
		})
		if err == nil {
			row, err = c.store.Get(ctx, "", c.key)
		}
	}
	if err != nil {
		return position{}, 0, err
	}
	p, err := decodePosition(row)
	return p, row.Version, err
}

func decodePosition(row *store.Row) (position, error) {
	var p position
	if err := json.Unmarshal(row.Body, &p); err != nil {
		return p, fmt.Errorf("the position of %s cannot be read: %w", row.ID, err)
	}
	return p, nil
}

// claim makes this process the holder, or keeps it that, and returns the
// position as it is then, or false where another process is the holder. It must
// be called right before something is delivered, with what read has returned.
func (c *cursor) claim(ctx context.Context, p position, version int64) (position, bool, error) {
	now := time.Now()
	if c.held == version && now.Sub(c.renewed) < c.lease/3 {
		return p, true, nil
	}
	if p.Holder != c.holder {
		if p.Holder != "" {
			if c.seen != version || c.seenSince.IsZero() {
				c.seen, c.seenSince = version, now
			}
			if now.Sub(c.seenSince) < c.lease {
				return p, false, nil
			}
		}
		p.Holder, p.Fence = c.holder, p.Fence+1
	}
	err := c.write(ctx, p, version)
	if errors.Is(err, errLost) {
		return p, false, nil
	}
	return p, err == nil, err
}

// rest forgets what was seen of another holder: there is nothing to deliver,
// and so no reason for it to write the row.
func (c *cursor) rest() { c.seenSince = time.Time{} }

// write replaces the row if nobody else has since the version.
func (c *cursor) write(ctx context.Context, p position, version int64) error {
	var written int64
	err := c.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.Lock(ctx, "", c.key)
		if err != nil {
			return err
		}
		if row.Version != version {
			return errLost
		}
		row.Body, row.Updated = encode(p), time.Now()
		if err := tx.Update(ctx, row, nil); err != nil {
			return err
		}
		written = row.Version
		return nil
	})
	if err != nil {
		c.held = 0
		return err
	}
	c.held, c.renewed = written, time.Now()
	c.rest()
	return nil
}

// keep renews the claim until the returned function is called. The context that
// it returns ends when the claim is lost, or may be.
func (c *cursor) keep(ctx context.Context, p position) (context.Context, func()) {
	delivering, cancel := context.WithCancelCause(ctx)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticks := time.NewTicker(c.lease / 3)
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				return
			case <-delivering.Done():
				return
			case <-ticks.C:
			}
			bounded, end := context.WithTimeout(delivering, c.lease/3)
			err := c.write(bounded, p, c.held)
			end()
			if err != nil {
				cancel(fmt.Errorf("keep the claim: %w", err))
				return
			}
		}
	}()
	return delivering, func() {
		close(stop)
		<-stopped
		cancel(errOver)
	}
}

// release lets others deliver at once.
func (c *cursor) release(ctx context.Context) {
	if c.held == 0 {
		return
	}
	p, version, err := c.read(ctx)
	if err == nil && version == c.held {
		p.Holder = ""
		_ = c.write(ctx, p, version) // the others wait for the length of a lease then
	}
	c.held = 0
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("delivery: encode position: %v", err)) // numbers and texts always encode
	}
	return b
}
