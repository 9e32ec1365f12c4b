package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// event is one of the bench's organization, with the text as its body.
func (b *bench) event(text string) store.Event {
	return store.Event{Org: b.org, At: time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC), Body: []byte(text)}
}

// events reads the bench's events until it has n of them.
func (b *bench) events(n int) []store.Event {
	b.Helper()
	var own []store.Event
	after := int64(0)
	end := time.Now().Add(deadline)
	for len(own) < n {
		page, err := b.Events(b.ctx, store.EventQuery{After: after, Limit: 7})
		if err != nil {
			b.Fatalf("events: %v", err)
		}
		for _, e := range page {
			if e.Seq <= after {
				b.Fatalf("event %d comes behind %d", e.Seq, after)
			}
			after = e.Seq
			if e.Org == b.org {
				own = append(own, e)
			}
		}
		if len(page) == 0 {
			if time.Now().After(end) {
				b.Fatalf("there are %d events, want %d", len(own), n)
			}
			// Another test's transaction may be open.
			time.Sleep(time.Millisecond)
		}
	}
	return own
}

func bodies(events []store.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e.Body)
	}
	return out
}

func eventsInOrder(b *bench) {
	var want []string
	b.update(func(tx store.Tx) error {
		for _, text := range ids("e", 40) {
			want = append(want, text)
			if err := tx.Append(b.event(text)); err != nil {
				return err
			}
		}
		return nil
	})
	b.update(func(tx store.Tx) error {
		want = append(want, "second", "\x00\x01\xff", "")
		return tx.Append(b.event("second"), b.event("\x00\x01\xff"), b.event(""))
	})
	got := b.events(len(want))
	if !slices.Equal(bodies(got), want) {
		b.Errorf("events %q, want %q", bodies(got), want)
	}
	if e := got[0]; !e.At.Equal(b.event("").At) || e.Org != b.org {
		b.Errorf("read back as %+v", e)
	}

	var backward []store.Event
	for after := int64(0); ; {
		page, err := b.Events(b.ctx, store.EventQuery{After: after, Backward: true, Limit: 13})
		if err != nil {
			b.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			after = e.Seq
			if e.Org == b.org {
				backward = append(backward, e)
			}
		}
	}
	slices.Reverse(backward)
	if !slices.Equal(bodies(backward), want) {
		b.Errorf("backward %q, want %q", bodies(backward), want)
	}

	sizes, err := b.EventSizes(b.ctx, got[0].Seq-1, 100_000)
	if err != nil {
		b.Fatal(err)
	}
	bytes := map[int64]int64{}
	for _, s := range sizes {
		bytes[s.Seq] = s.Bytes
	}
	for _, e := range got {
		if bytes[e.Seq] != int64(len(e.Body)) {
			b.Errorf("event %d takes %d bytes, want %d", e.Seq, bytes[e.Seq], len(e.Body))
		}
	}
	if _, err := b.Events(b.ctx, store.EventQuery{}); err == nil {
		b.Error("events without a limit are no error")
	}
	if _, err := b.EventSizes(b.ctx, 0, 0); err == nil {
		b.Error("sizes without a limit are no error")
	}
}

// eventsShareTheFate holds events to the transaction that they are part of.
func eventsShareTheFate(b *bench) {
	boom := errors.New("boom")
	err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		return errors.Join(tx.Append(b.event("undone")), tx.Insert(b.ctx, b.row("a-1", ""), nil), boom)
	})
	if !errors.Is(err, boom) {
		b.Fatalf("error %v, want boom", err)
	}
	long := b.event("too long an organization")
	long.Org = string(make([]byte, 300))
	if err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		return errors.Join(tx.Append(b.event("undone too")), tx.Append(long))
	}); err == nil {
		b.Error("an organization that cannot be stored is no error")
	}
	var kept store.Tx
	b.update(func(tx store.Tx) error { kept = tx; return tx.Append(b.event("kept")) })
	if err := kept.Append(b.event("late")); err == nil {
		b.Error("a transaction appends after its end")
	}
	if got := bodies(b.events(1)); !slices.Equal(got, []string{"kept"}) {
		b.Errorf("events %q", got)
	}
}

// eventsFollowLocks has transactions change one row and say which version they
// made: the log has the versions in order.
func eventsFollowLocks(b *bench) {
	const n = 60
	b.add("a-1")
	for i, err := range together(n, func(int) error {
		return b.Store.Update(b.ctx, func(tx store.Tx) error {
			r, err := tx.Lock(b.ctx, b.org, b.key("a-1"))
			if err != nil {
				return err
			}
			if err := tx.Update(b.ctx, r, nil); err != nil {
				return err
			}
			return tx.Append(b.event(fmt.Sprintf("version %d", r.Version)))
		})
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	for i, e := range b.events(n) {
		if want := fmt.Sprintf("version %d", i+2); string(e.Body) != want {
			b.Fatalf("event %d is %q, want %q", i, e.Body, want)
		}
	}
}

// eventsAreComplete reads on behind the last event while many transactions
// append, some of which end late: none may be missed.
func eventsAreComplete(b *bench) {
	const workers, each = 12, 25
	var written sync.WaitGroup
	want := map[string]bool{}
	for w := range workers {
		for i := range each {
			want[fmt.Sprintf("%d.%d", w, i)] = true
		}
		written.Go(func() {
			for i := range each {
				if err := b.Store.Update(b.ctx, func(tx store.Tx) error {
					if i%3 == 0 { // only some have written before they append
						if err := tx.Insert(b.ctx, b.row(fmt.Sprintf("a-%d-%d", w, i), ""), nil); err != nil {
							return err
						}
					}
					return tx.Append(b.event(fmt.Sprintf("%d.%d", w, i)))
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	got := b.events(workers * each)
	written.Wait()
	for _, e := range got {
		if !want[string(e.Body)] {
			b.Errorf("event %q came twice, or was never written", e.Body)
		}
		delete(want, string(e.Body))
	}
	if len(want) > 0 {
		b.Errorf("%d events were missed", len(want))
	}
}
