// Package invitation is what happens after an invitation was created: the mail
// goes out, the person follows its link to a page of Weir and signs up, or the
// time runs out. Which step may follow which is for package iam to say.
package invitation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/store"
)

// component is how the audit log calls the Courier.
const component = "invitations"

const (
	// pollInterval is how often the Courier looks for work. While that fails,
	// it waits twice as long each time, up to maxPollInterval.
	pollInterval    = time.Second
	maxPollInterval = 10 * time.Second
	// batch is how many invitations are read at once.
	batch = 50

	// sendTimeout bounds one attempt to send. It ends before any claim does, so
	// that nobody else sends meanwhile.
	sendTimeout = 45 * time.Second
	// minClaim and maxClaim are how long an attempt keeps others, and the next
	// attempt, from the invitation.
	minClaim = time.Minute
	maxClaim = 15 * time.Minute
	// markTimeout is how long it may take to store that a mail is out.
	markTimeout = 10 * time.Second
)

// Courier sends the mail of new invitations and ends those whose time is over,
// in every organization. Any number of them, in any number of processes, can
// work on one store: each mail is sent by one of them.
//
// What a crash interrupts is done again: at worst a person gets two mails, of
// which the newer one's link is good.
type Courier struct {
	engine *engine.Engine
	sender mail.Sender
	wake   chan struct{}
	// held remembers the staged invitations that are claimed, and until when,
	// so that they cost nothing before.
	held map[string]time.Time
}

// NewCourier returns a Courier for the engine's store, clock, public URL and
// log.
func NewCourier(e *engine.Engine, sender mail.Sender) *Courier {
	return &Courier{engine: e, sender: sender, wake: make(chan struct{}, 1)}
}

// Wake makes Run look for new invitations at once. It never blocks.
func (c *Courier) Wake() {
	select {
	case c.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// Changed wakes the Courier where a change may be a new invitation; it is for
// the store's feed of changes.
func (c *Courier) Changed(change store.Change) {
	if change.All || slices.ContainsFunc(change.Keys, func(k store.Key) bool { return k.Kind == iam.Invitation.Key() }) {
		c.Wake()
	}
}

// Run works until the context ends, and returns once nothing is under way any
// more; that takes up to ten seconds where a mail has just gone out. The store
// must stay open until then. What fails is logged and tried again.
func (c *Courier) Run(ctx context.Context) {
	ctx = audit.As(ctx, component)
	// A mail server that takes its time must not hold up what is due by the
	// clock.
	var upkeep sync.WaitGroup
	upkeep.Go(func() { c.repeat(ctx, "end invitations", c.expire, nil) })
	c.repeat(ctx, "send invitations", c.deliver, c.wake)
	upkeep.Wait()
}

func (c *Courier) repeat(ctx context.Context, what string, step func(context.Context) error, wake <-chan struct{}) {
	pause := pollInterval
	for {
		if err := step(ctx); err == nil {
			pause = pollInterval
		} else if ctx.Err() == nil {
			c.engine.Log.WarnContext(ctx, "cannot "+what+", trying again", "wait", pause, "error", err)
			pause = min(2*pause, maxPollInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-time.After(pause):
		}
	}
}

// Step does everything that is due now, once. It must not be called beside Run
// or another Step of the same Courier. An error is one of the store; mail that
// could not be sent is logged and is due again later.
func (c *Courier) Step(ctx context.Context) error {
	ctx = audit.As(ctx, component)
	return errors.Join(c.expire(ctx), c.deliver(ctx))
}

// expire ends the invitations whose time is over. All of them live equally
// long, so the oldest end first and the search stops at the first that has
// time left.
func (c *Courier) expire(ctx context.Context) error {
	for after := int64(0); ; {
		rows, err := c.list(ctx, after, iam.StatusStaged, iam.StatusSent)
		if err != nil {
			return err
		}
		for i := range rows {
			after = rows[i].Seq
			o, err := iam.Invitation.Decode(&rows[i])
			if err != nil {
				return err
			}
			expires, err := iam.InvitationExpires(o)
			if err != nil || c.engine.Now().Before(expires) {
				return err
			}
			err = c.engine.Store.Update(ctx, func(tx store.Tx) error {
				return iam.ExpireInvitation(ctx, c.engine, tx, o.ID)
			})
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("invitation %s: %w", o.ID, err)
			}
		}
		if len(rows) < batch {
			return nil
		}
	}
}

// deliver sends the mail of staged invitations, one after the other.
func (c *Courier) deliver(ctx context.Context) error {
	held := make(map[string]time.Time)
	for after := int64(0); ; {
		rows, err := c.list(ctx, after, iam.StatusStaged)
		if err != nil {
			return err
		}
		for i := range rows {
			after = rows[i].Seq
			until := c.held[rows[i].ID]
			if !until.After(c.engine.Now()) {
				if until, err = c.deliverOne(ctx, &rows[i]); err != nil {
					return fmt.Errorf("invitation %s: %w", rows[i].ID, err)
				}
			}
			if !until.IsZero() {
				held[rows[i].ID] = until
			}
		}
		if len(rows) < batch {
			c.held = held
			return nil
		}
	}
}

// deliverOne sends one mail and returns until when the invitation is claimed
// by whoever has it.
func (c *Courier) deliverOne(ctx context.Context, row *store.Row) (time.Time, error) {
	t := newToken(row.ID)
	hash := t.hash(c.engine)
	now := c.engine.Now()
	// The claim lasts as long as the invitation is old. So the waits between
	// attempts double, with nothing to count.
	wanted := now.Add(min(max(now.Sub(row.Created), minClaim), maxClaim))

	var o *engine.Object
	var until time.Time
	err := c.engine.Store.Update(ctx, func(tx store.Tx) error {
		var err error
		o, until, err = iam.ClaimInvitation(ctx, c.engine, tx, row.ID, hash, wanted)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil || o == nil {
		return until, err
	}
	if err := c.send(ctx, o, t); err != nil {
		c.engine.Log.WarnContext(ctx, "the mail of an invitation could not be sent", "invitation", o.ID, "next_attempt", until, "error", err)
		return until, nil
	}
	// That the mail is out is worth knowing even when everything is to stop.
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	err = c.engine.Store.Update(marking, func(tx store.Tx) error {
		return iam.MarkInvitationSent(marking, c.engine, tx, o.ID, hash)
	})
	if err != nil {
		return until, fmt.Errorf("store that the mail is out: %w", err)
	}
	c.engine.Log.InfoContext(ctx, "the mail of an invitation was sent", "invitation", o.ID)
	return time.Time{}, nil
}

func (c *Courier) send(ctx context.Context, o *engine.Object, t token) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	m, err := c.message(ctx, o, t)
	if err != nil {
		return err
	}
	return c.sender.Send(ctx, m)
}

func (c *Courier) list(ctx context.Context, after int64, statuses ...string) ([]store.Row, error) {
	return c.engine.Store.List(ctx, store.Query{
		Kind: iam.Invitation.Key(), After: after, Limit: batch,
		Where: []store.Condition{{Field: "status", Values: statuses}},
	})
}
