package storetest

import (
	"errors"
	"reflect"
	"slices"

	"github.com/weirhq/weir/internal/store"
)

// inspect returns the bench's own rows.
func (b *bench) inspect(s store.Snapshot) []store.Inspected {
	b.Helper()
	var own []store.Inspected
	for after := int64(0); ; {
		page, err := s.Inspect(b.ctx, after, 50)
		if err != nil {
			b.Fatalf("inspect: %v", err)
		}
		for _, r := range page {
			if r.Seq <= after {
				b.Fatalf("row %d comes behind %d", r.Seq, after)
			}
			after = r.Seq
			if r.Kind == b.kind {
				own = append(own, r)
			}
		}
		if len(page) < 50 {
			return own
		}
	}
}

func (b *bench) snapshot(fn func(store.Snapshot)) {
	b.Helper()
	if err := b.Snapshot(b.ctx, func(s store.Snapshot) error { fn(s); return nil }); err != nil {
		b.Fatalf("snapshot: %v", err)
	}
}

func snapshotIsOneMoment(b *bench) {
	b.add("a", "b")
	b.snapshot(func(s store.Snapshot) {
		before := b.inspect(s)
		b.mustRemove("a")
		b.mustInsert(b.row("c", ""))
		changed := b.row("b", "")
		changed.Body = []byte(`"changed"`)
		if err := b.replace(changed); err != nil {
			b.Fatal(err)
		}
		b.update(func(tx store.Tx) error { return tx.Append(b.event("later")) })
		if after := b.inspect(s); len(before) != 2 || !reflect.DeepEqual(before, after) {
			b.Errorf("the snapshot changed: %+v, then %+v", before, after)
		}
		if row, err := s.Get(b.ctx, b.org, b.key("b")); err != nil || row.Version != 1 {
			b.Errorf("a read in the snapshot: %+v, %v", row, err)
		}
		if slices.Contains(bodies(b.log(s)), "later") {
			b.Error("the snapshot has an event from after it")
		}
	})
}

// log returns the bench's own events.
func (b *bench) log(s store.Snapshot) []store.Event {
	b.Helper()
	var own []store.Event
	for after := int64(0); ; {
		page, err := s.Log(b.ctx, after, 50)
		if err != nil {
			b.Fatalf("log: %v", err)
		}
		for _, e := range page {
			after = e.Seq
			if e.Org == b.org {
				own = append(own, e)
			}
		}
		if len(page) < 50 {
			return own
		}
	}
}

func snapshotShowsAll(b *bench) {
	entries := []store.Entry{{Field: "a", Value: "1"}, {Field: "ref", Value: "gone", Target: b.kind}, {Field: "ref", Value: "other", Target: b.kind}}
	b.add("gone")
	b.mustInsert(b.row("kept", "name"), entries...)
	b.mustInsert(b.row("other", ""))
	b.mustRemove("gone")
	b.update(func(tx store.Tx) error { return tx.Append(b.event("one"), b.event("two")) })
	b.snapshot(func(s store.Snapshot) {
		rows := b.inspect(s)
		if len(rows) != 3 {
			b.Fatalf("inspected %+v", rows)
		}
		if gone := rows[0]; !gone.Deleted || gone.ID != "gone" || len(gone.Body)+len(gone.Private)+len(gone.Entries) > 0 {
			b.Errorf("the deleted row: %+v", gone)
		}
		kept := rows[1]
		slices.SortFunc(kept.Entries, func(x, y store.Entry) int {
			return slices.Compare([]string{x.Field, x.Value}, []string{y.Field, y.Value})
		})
		want := b.row("kept", "name")
		want.Seq, want.Version = kept.Seq, 1
		if kept.Deleted || !reflect.DeepEqual(kept.Row, *want) || !slices.Equal(kept.Entries, entries) {
			b.Errorf("inspected %+v, want %+v with %+v", kept, want, entries)
		}
		refs, err := s.Dangling(b.ctx, []string{"another", b.kind}, 1000)
		if err != nil {
			b.Fatal(err)
		}
		if want := (store.Reference{From: b.key("kept"), Org: b.org, Field: "ref", To: b.key("gone")}); len(refs) != 1 || refs[0] != want {
			b.Errorf("dangling %+v, want %+v", refs, want)
		}
		if none, err := s.Dangling(b.ctx, []string{"another"}, 1000); err != nil || len(none) > 0 {
			b.Errorf("dangling %+v to another kind, %v", none, err)
		}
		if got := bodies(b.log(s)); !slices.Equal(got, []string{"one", "two"}) {
			b.Errorf("the log has %q", got)
		}
		if damage, err := s.Damage(b.ctx); err != nil || len(damage) > 0 {
			b.Errorf("damage %q, %v", damage, err)
		}
	})
}

// referencesStayInTheirOrganization: a reference to a row of another one is
// one to nothing.
func referencesStayInTheirOrganization(b *bench) {
	foreign := b.row("foreign", "")
	foreign.Org = b.org + "2"
	b.mustInsert(foreign)
	b.mustInsert(b.row("from", ""), store.Entry{Field: "ref", Value: "foreign", Target: b.kind})
	b.snapshot(func(s store.Snapshot) {
		refs, err := s.Dangling(b.ctx, []string{"another", b.kind}, 1000)
		if err != nil {
			b.Fatal(err)
		}
		if !slices.Contains(refs, store.Reference{From: b.key("from"), Org: b.org, Field: "ref", To: b.key("foreign")}) {
			b.Errorf("dangling %+v", refs)
		}
	})
}

func snapshotLimits(b *bench) {
	b.snapshot(func(s store.Snapshot) {
		_, inspect := s.Inspect(b.ctx, 0, 0)
		_, dangling := s.Dangling(b.ctx, nil, 0)
		_, log := s.Log(b.ctx, 0, 0)
		if inspect == nil || dangling == nil || log == nil {
			b.Errorf("a limit of 0: %v, %v, %v", inspect, dangling, log)
		}
	})
}

// snapshotHoldsNobodyUp: others write while it is open, and after it has
// failed.
func snapshotHoldsNobodyUp(b *bench) {
	boom := errors.New("boom")
	open, finish := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- b.Snapshot(b.ctx, func(s store.Snapshot) error {
			if _, err := s.Inspect(b.ctx, 0, 1); err != nil {
				return err
			}
			close(open)
			<-finish
			return boom
		})
	}()
	wait(b, "the snapshot", open)
	b.add("written meanwhile")
	if _, err := b.Get(b.ctx, b.org, b.key("written meanwhile")); err != nil {
		b.Error(err)
	}
	close(finish)
	if err := wait(b, "the end of the snapshot", ended); !errors.Is(err, boom) {
		b.Errorf("the snapshot ended with %v", err)
	}
}
