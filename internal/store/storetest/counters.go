package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"sync/atomic"

	"github.com/weirhq/weir/internal/store"
)

// counter is one that no other test uses.
func (b *bench) counter(subject string) store.Counter {
	return store.Counter{Org: b.org, Name: "things of " + b.kind, Subject: subject}
}

// counted tallies so many rows that come, or go.
func (b *bench) counted(tx store.Tx, c store.Counter, by, limit int64) {
	share := []store.Share{{Counter: c, Limit: limit}}
	for ; by > 0; by-- {
		tx.Tally(b.key(rand.Text()), nil, share)
	}
	for ; by < 0; by++ {
		tx.Tally(b.key(rand.Text()), share, nil)
	}
}

// tally changes the counter in a transaction of its own.
func (b *bench) tally(c store.Counter, by, limit int64) error {
	return b.tallyOn(b.Store, c, by, limit)
}

func (b *bench) tallyOn(s store.Store, c store.Counter, by, limit int64) error {
	return s.Update(b.ctx, func(tx store.Tx) error {
		b.counted(tx, c, by, limit)
		return nil
	})
}

func (b *bench) mustTally(c store.Counter, by, limit int64) {
	b.Helper()
	if err := b.tally(c, by, limit); err != nil {
		b.Fatalf("tally %+d: %v", by, err)
	}
}

func (b *bench) wantValue(c store.Counter, want int64) {
	b.Helper()
	got, err := b.Counters(b.ctx, c.Org, c.Subject)
	if err != nil {
		b.Fatal(err)
	}
	if got[c.Name] != want {
		b.Errorf("the counter of %q is %d, want %d", c.Subject, got[c.Name], want)
	}
}

func (b *bench) wantFull(err error, c store.Counter, limit, value int64) {
	b.Helper()
	var full *store.ErrFull
	if !errors.As(err, &full) {
		b.Fatalf("error %v, want *ErrFull", err)
	}
	if want := (store.ErrFull{Counter: c, Limit: limit, Value: value}); *full != want {
		b.Errorf("full %+v, want %+v", *full, want)
	}
}

// subjects are the two sorts of counters.
var subjects = []string{"", "sa-1"}

func countersCount(b *bench) {
	for _, subject := range subjects {
		c := b.counter(subject)
		b.wantValue(c, 0)
		b.mustTally(c, 2, 3)
		b.wantFull(b.tally(c, 2, 3), c, 3, 4)
		b.mustTally(c, 1, 3)
		b.wantFull(b.tally(c, 1, 3), c, 3, 4)
		b.wantValue(c, 3)
		// What does not grow is never refused.
		b.mustTally(c, 0, 1)
		b.mustTally(c, -1, 1)
		b.wantFull(b.tally(c, 1, 1), c, 1, 3)
		b.wantValue(c, 2)
		b.mustTally(c, -2, 1)
		b.wantValue(c, 0)
		b.mustTally(c, 1, 1)
		b.mustTally(c, 40, 100)
		b.wantValue(c, 41)
	}
	named, err := b.CountersNamed(b.ctx, b.counter("").Name)
	if want := map[store.Counter]int64{b.counter(""): 41, b.counter("sa-1"): 41}; err != nil || !maps.Equal(named, want) {
		b.Errorf("by name: %v, %v", named, err)
	}
	for _, c := range []store.Counter{{}, {Org: b.org}, {Name: "n"}, {Org: b.org, Name: "\x00"}, {Org: "\xff", Name: "n"}} {
		if err := b.tally(c, 1, 10); err == nil {
			b.Errorf("%q is counted", c)
		}
	}
	if got, err := b.Counters(b.ctx, "\x00", ""); err != nil || len(got) != 0 {
		b.Errorf("an organization that cannot be has %v, %v", got, err)
	}
}

// countersNet changes one counter several times in a transaction.
func countersNet(b *bench) {
	for _, subject := range subjects {
		c := b.counter(subject)
		b.mustTally(c, 5, 5)
		b.update(func(tx store.Tx) error {
			b.counted(tx, c, 1, 5)
			b.counted(tx, c, -1, 5)
			return nil
		})
		b.wantValue(c, 5)
		err := b.Store.Update(b.ctx, func(tx store.Tx) error {
			for _, by := range []int64{1, 1, -1} {
				b.counted(tx, c, by, 5)
			}
			return nil
		})
		b.wantFull(err, c, 5, 6)
		b.wantValue(c, 5)
	}
}

// countersOfOneRow writes a row several times in a transaction. Only what it
// was before and what it is in the end count.
func countersOfOneRow(b *bench) {
	one, two := b.counter("sa-1"), b.counter("sa-2")
	share := func(c store.Counter) []store.Share { return []store.Share{{Counter: c, Limit: 1}} }
	key := b.key("a-1")
	b.update(func(tx store.Tx) error {
		tx.Tally(key, nil, share(one))
		tx.Tally(key, share(one), share(two))
		tx.Tally(key, share(one), share(two)) // by who has not seen the change
		return nil
	})
	b.wantValue(one, 0)
	b.wantValue(two, 1)
	b.update(func(tx store.Tx) error {
		for range 2 {
			tx.Tally(key, share(two), nil)
		}
		return nil
	})
	b.wantValue(two, 0)
}

// countersWithTheirTransaction are kept with all else, or not at all.
func countersWithTheirTransaction(b *bench) {
	full, other := b.counter("sa-1"), b.counter("")
	b.mustTally(full, 1, 1)
	undo := errors.New("undo")
	if err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		b.counted(tx, other, 1, 1)
		return undo
	}); !errors.Is(err, undo) {
		b.Errorf("error %v", err)
	}
	b.wantValue(other, 0)
	err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		b.counted(tx, other, 1, 1)
		b.counted(tx, full, 1, 1)
		return tx.Insert(b.ctx, b.row("a-1", ""), nil)
	})
	b.wantFull(err, full, 1, 2)
	b.wantValue(other, 0)
	if _, err := b.Get(b.ctx, b.org, b.key("a-1")); !errors.Is(err, store.ErrNotFound) {
		b.Errorf("the row is there: %v", err)
	}
	// The failure of one leaves the others alone.
	b.mustInsert(b.row("a-2", ""))
}

func countersOverdraw(b *bench) {
	for _, subject := range subjects {
		c := b.counter(subject)
		b.update(func(tx store.Tx) error {
			tx.Overdraw()
			b.counted(tx, c, 3, 1)
			return nil
		})
		b.wantValue(c, 3)
		b.wantFull(b.tally(c, 1, 1), c, 1, 4)
	}
}

func limits(b *bench) {
	elsewhere := b.org + " elsewhere"
	name := b.counter("").Name
	for _, subject := range subjects {
		c := b.counter(subject)
		b.mustTally(c, 1, 1)
		b.update(func(tx store.Tx) error { return tx.PutLimit(b.ctx, b.org, name, 3) })
		b.mustTally(c, 2, 1)
		b.wantFull(b.tally(c, 1, 1), c, 3, 4)
		// Limits end at the organization's wall.
		away := store.Counter{Org: elsewhere, Name: name, Subject: subject}
		b.wantFull(b.tally(away, 2, 1), away, 1, 2)
		b.mustTally(away, 1, 1)
		// Another process is bound to it at once.
		b.update(func(tx store.Tx) error { return tx.PutLimit(b.ctx, b.org, name, 0) })
		b.wantFull(b.tallyOn(b.other, c, 1, 1), c, 0, 4)
		if got, err := b.Limits(b.ctx, b.org); err != nil || len(got) != 1 || got[name] != 0 {
			b.Errorf("the limits are %v, %v", got, err)
		}
		for _, want := range []bool{true, false} {
			b.update(func(tx store.Tx) error {
				had, err := tx.DeleteLimit(b.ctx, b.org, name)
				if had != want {
					b.Errorf("there was a limit: %t", had)
				}
				return err
			})
		}
		b.wantFull(b.tally(c, 1, 1), c, 1, 4)
	}
	if got, err := b.Limits(b.ctx, b.org); err != nil || len(got) != 0 {
		b.Errorf("the limits are %v, %v", got, err)
	}
}

func setCounters(b *bench) {
	one, two, three := b.counter(""), b.counter("sa-1"), b.counter("sa-2")
	b.mustTally(one, 20, 100)
	b.mustTally(two, 2, 100)
	values := map[store.Counter]int64{one: 7, three: 3}
	b.update(func(tx store.Tx) error { return tx.SetCounters(b.ctx, one.Name, values) })
	if got, err := b.CountersNamed(b.ctx, one.Name); err != nil || !maps.Equal(got, values) {
		b.Errorf("the counters are %v, %v", got, err)
	}
	b.mustTally(one, 1, 8)
	b.wantFull(b.tally(one, 1, 8), one, 8, 9)
	if err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		return tx.SetCounters(b.ctx, "another name", values)
	}); err == nil {
		b.Error("counters are set under another name")
	}
}

// lastPlace lets many take the last places at once, from far below the limit
// or next to it, through two processes.
func lastPlace(b *bench) {
	const writers = 64
	for _, subject := range subjects {
		for _, places := range []int64{1, 5, 17, 40} {
			c := b.counter(subject)
			c.Name += fmt.Sprint(places)
			limit := int64(100)
			b.mustTally(c, limit-places, limit)
			var won atomic.Int64
			for _, err := range together(writers, func(i int) error {
				s := b.Store
				if i%2 == 1 {
					s = b.other
				}
				return b.tallyOn(s, c, 1, limit)
			}) {
				var full *store.ErrFull
				if err == nil {
					won.Add(1)
				} else if !errors.As(err, &full) {
					b.Errorf("error %v", err)
				}
			}
			if won.Load() != places {
				b.Errorf("%q: %d of %d writers got one of %d places", subject, won.Load(), writers, places)
			}
			b.wantValue(c, limit)
		}
	}
}

// countersUnderChange lets many take and give back near the limit. Nobody ever
// sees more than the limit, and in the end what is counted is what was kept.
func countersUnderChange(b *bench) {
	const writers, rounds, limit = 24, 12, 30
	for _, subject := range subjects {
		c, beside := b.counter(subject), b.counter(subject)
		beside.Name += " beside"
		var kept atomic.Int64
		for _, err := range together(writers, func(i int) error {
			s := b.Store
			if i%2 == 1 {
				s = b.other
			}
			mine := int64(0)
			for range rounds {
				by := 1 + mrand.Int64N(3)
				if mine > 0 && mrand.IntN(2) == 0 {
					by = -(1 + mrand.Int64N(mine))
				}
				err := s.Update(b.ctx, func(tx store.Tx) error {
					b.counted(tx, c, by, limit)
					b.counted(tx, beside, by, 10_000)
					return nil
				})
				var full *store.ErrFull
				switch {
				case err == nil:
					mine += by
					kept.Add(by)
				case !errors.As(err, &full):
					return err
				}
				got, err := s.Counters(b.ctx, c.Org, c.Subject)
				if err != nil {
					return err
				}
				if got[c.Name] > limit {
					return fmt.Errorf("the counter is at %d of %d", got[c.Name], limit)
				}
			}
			return nil
		}) {
			if err != nil {
				b.Error(err)
			}
		}
		b.wantValue(c, kept.Load())
		b.wantValue(beside, kept.Load())
	}
}
